"""The public form of an account: the JSON bytes that caches keep and everybody serves."""

from __future__ import annotations

from uuid import UUID

from twelvefold.cache.cache import CacheEntry
from twelvefold.contracts.accounts import User
from users.repository.accounts import AccountRecord

CACHE_TTL = 3600.0  # seconds
_SERIALIZER = User.__pydantic_serializer__


def cache_key(account_id: UUID) -> str:
    return f"user:{account_id}"


def shown(account: AccountRecord) -> User:
    """Without validating what our own tables hold."""
    return User.model_construct(
        id=account.id,
        email=account.email,
        name=account.name,
        role=account.role,
        email_verified=account.email_verified,
        disabled=account.disabled,
        has_avatar=account.has_avatar,
        created_at=account.created_at,
        updated_at=account.updated_at,
    )


def document(account: AccountRecord) -> CacheEntry:
    """Serialised once, for the cache and for every answer."""
    return CacheEntry(account.version, _SERIALIZER.to_json(shown(account)))


def tombstone(last_version: int | None = None) -> CacheEntry:
    """That there is no such account: never was, or deleted at `last_version`."""
    return CacheEntry(0 if last_version is None else last_version + 1, None)
