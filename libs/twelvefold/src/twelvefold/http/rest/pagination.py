"""Keyset pagination: opaque signed cursors, the page model and the Link header (RFC 8288).

A cursor is the signed sort key of a page's last row; the signature prevents clients from probing
the index with invented positions. Its key is derived from SECRET_KEY for this purpose alone.
"""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from pydantic import BaseModel, Field, SecretStr
from starlette.requests import Request

from twelvefold.errors import FieldError, UnprocessableContent

T = TypeVar("T")
Position = tuple[datetime, UUID]
_KEY_BYTES = 32
_MAC_BYTES = 16  # truncated HMAC-SHA-256; NIST SP 800-107 allows it for authentication
_MAX_LENGTH = 512
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Page(BaseModel, Generic[T]):
    """One page of a list, newest first."""

    items: list[T] = Field(json_schema_extra={"maxItems": 100})
    next_cursor: str | None = Field(None, description="For `?cursor=`; none on the last page.")


def derive_key(secret_key: SecretStr | str, purpose: str) -> bytes:
    """Return a key of 32 bytes for one purpose (HKDF-Expand, RFC 5869 section 2.3).

    SECRET_KEY is uniformly random, so that the extract step may be omitted (RFC 5869 section 3.3).
    """
    secret = secret_key.get_secret_value() if isinstance(secret_key, SecretStr) else secret_key
    expand = HKDFExpand(hashes.SHA256(), _KEY_BYTES, f"twelvefold/{purpose}".encode())
    return expand.derive(secret.encode())


class CursorCodec:
    """An encoder and decoder of signed cursors; a cursor is valid within one `scope` only."""

    def __init__(self, secret_key: SecretStr | str, scope: str = "") -> None:
        self._key = derive_key(secret_key, f"cursor/{scope}" if scope else "cursor")

    def encode(self, position: Position) -> str:
        """Return the cursor after `position`, whose time must be aware; precise to 1 µs."""
        created_at, identifier = position
        micros = (created_at - _EPOCH) // _MICROSECOND
        body = json.dumps([micros, identifier.hex], separators=(",", ":")).encode()
        mac = hmac.digest(self._key, body, hashlib.sha256)[:_MAC_BYTES]
        return base64.urlsafe_b64encode(mac + body).rstrip(b"=").decode()

    def decode(self, cursor: str) -> Position:
        """Return the position of `cursor`.

        Raises UnprocessableContent (pointer /query/cursor) unless `encode` made the cursor.
        """
        try:
            if len(cursor) > _MAX_LENGTH:
                raise ValueError
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
            expected = hmac.digest(self._key, body, hashlib.sha256)[:_MAC_BYTES]
            if not hmac.compare_digest(mac, expected):
                raise ValueError
            micros, identifier = json.loads(body)
            return _EPOCH + micros * _MICROSECOND, UUID(identifier)
        except (ValueError, TypeError, OverflowError):
            raise UnprocessableContent(
                "The cursor is invalid. Use next_cursor.",
                errors=[FieldError("/query/cursor", "is not a cursor of this list")],
            ) from None


def link_header(request: Request, cursor: str | None) -> dict[str, str]:
    """Return `Link: <…>; rel="next"` for the next page; no header on the last page."""
    if cursor is None:
        return {}
    target = request.url.include_query_params(cursor=cursor)
    return {"Link": f'<{target.path}?{target.query}>; rel="next"'}
