"""Identifiers: UUIDv7 (RFC 9562 section 5.7), which sort by time and keep indexes dense."""

from uuid import UUID

from uuid_utils.compat import uuid7

__all__ = [
    "new_id",
]


def new_id() -> UUID:
    """Return a new UUIDv7 as a standard `uuid.UUID`."""
    return uuid7()
