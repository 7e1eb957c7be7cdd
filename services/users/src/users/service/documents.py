"""The public form of an account: the JSON bytes that the cache keeps and both services send."""

from __future__ import annotations

from twelvefold.cache.cache import CacheEntry
from twelvefold.contracts.accounts import User
from users.repository.accounts import AccountRecord

CACHE_TTL = 3600.0  # seconds
_SERIALIZER = User.__pydantic_serializer__


def document(account: AccountRecord) -> CacheEntry:
    """Return the `User` that the record is, serialised for the cache and for every response."""
    return CacheEntry(account.version, _SERIALIZER.to_json(account))


def tombstone(last_version: int | None = None) -> CacheEntry:
    """Return the entry of an absent account: unknown, or deleted at `last_version`."""
    return CacheEntry(0 if last_version is None else last_version + 1, None)
