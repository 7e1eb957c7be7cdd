"""Uploads of images: type detection, size limit and hash while they stream to the object store.

Owns which types are accepted. The worker decides whether the bytes are a valid image.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from twelvefold.errors import PayloadTooLarge, UnsupportedMedia
from twelvefold.identifiers import new_id
from twelvefold.storage.object_store import ObjectStore

PREFIX = "uploads/"
IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")
# For clients that do not know the type; the bytes decide in any case.
_UNNAMED = "application/octet-stream"
_HEAD = 12  # bytes that distinguish the three formats
_DISCARD_TIMEOUT = 2.0  # seconds; the sweeper deletes what remains
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Upload:
    """A stored source, which is deleted unless `keep` was called."""

    object_key: str
    content_type: str
    size: int
    sha256: str
    kept: bool = False

    def keep(self) -> None:
        """Keep the object. Call it last inside the transaction: where the outcome of the commit is
        unknown, an orphaned object is less harmful than a missing one.
        """
        self.kept = True


class Uploads:
    """Receives images into the object store. `max_bytes` bounds each of them."""

    def __init__(self, store: ObjectStore, *, max_bytes: int) -> None:
        self._store = store
        self._max_bytes = max_bytes

    @asynccontextmanager
    async def receive(
        self, body: AsyncIterator[bytes], declared: str | None
    ) -> AsyncIterator[Upload]:
        """Store `body`, without a database connection in the meantime.

        Raises UnsupportedMedia, PayloadTooLarge, or DependencyUnavailable without the store.
        """
        content_type, chunks = await self._detect_type(body, declared)
        key = f"{PREFIX}{new_id()}"
        upload: Upload | None = None
        try:
            stored = await self._store.put(key, chunks, content_type)
            upload = Upload(key, content_type, stored.size, stored.sha256 or "")
            yield upload
        finally:
            # A failed put leaves no object.
            if upload is not None and not upload.kept:
                await asyncio.shield(self._discard(key))

    async def _detect_type(
        self, body: AsyncIterator[bytes], declared: str | None
    ) -> tuple[str, AsyncIterator[bytes]]:
        named = (declared or _UNNAMED).partition(";")[0].strip().lower()
        if named not in (*IMAGE_TYPES, _UNNAMED):
            raise UnsupportedMedia(f"Send one of {', '.join(IMAGE_TYPES)}.")
        head = b""
        while len(head) < _HEAD:
            chunk = await anext(body, None)
            if chunk is None:
                break
            head += chunk
        detected = sniff(head)
        if detected is None:
            raise UnsupportedMedia("The bytes are neither JPEG nor PNG nor WebP.")
        return detected, self._limit_size(head, body)

    async def _limit_size(self, head: bytes, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        size = 0
        chunk: bytes | None = head
        while chunk is not None:
            size += len(chunk)
            if size > self._max_bytes:
                raise PayloadTooLarge(f"An image has at most {self._max_bytes} bytes.")
            if chunk:
                yield chunk
            chunk = await anext(body, None)

    async def _discard(self, key: str) -> None:
        try:
            async with asyncio.timeout(_DISCARD_TIMEOUT):
                await self._store.delete(key)
        except Exception as error:
            _log.warning("object_orphaned", object_key=key, reason=repr(error))


def sniff(head: bytes) -> str | None:
    """Return the type of an image by its first 12 bytes (mimesniff.spec.whatwg.org section 6.1)."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return None
