"""Uploads: a stream is split into parts, and several parts become a multipart upload.

Owns the parts, their checksums and the removal of incomplete uploads.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

import structlog

from .client import S3CallLimiter

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

_log = structlog.get_logger(__name__)

PART_BYTES = 5 * 1024 * 1024  # S3's minimum for every part but the last
CHUNK_BYTES = 64 * 1024
TURN_BYTES = 2 * CHUNK_BYTES  # hashed and copied in under a millisecond


class Part:
    """Up to PART_BYTES of a stream, with their MD5, which S3 verifies."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.size = 0
        self.is_last = False
        self._buffer = io.BytesIO()
        self._md5 = hashlib.md5(usedforsecurity=False)

    @property
    def free_bytes(self) -> int:
        return PART_BYTES - self.size

    def write(self, piece: memoryview) -> None:
        self._buffer.write(piece)
        self._md5.update(piece)
        self.size += len(piece)

    @property
    def content(self) -> dict[str, Any]:
        """The arguments of a call that sends this part."""
        self._buffer.seek(0)
        md5 = base64.b64encode(self._md5.digest()).decode()  # as in RFC 1864
        return {"Body": self._buffer, "ContentLength": self.size, "ContentMD5": md5}


async def split_into_parts(chunks: AsyncIterator[bytes], digest: Any) -> AsyncGenerator[Part]:
    """Yield full parts, then the last one, which is empty for an empty stream.

    Updates `digest` with all bytes. Yields to the event loop even where `chunks` never waits.
    Holds one part at a time.
    """
    part, turn_bytes = Part(1), 0
    async for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            if not part.free_bytes:
                yield part
                part = Part(part.number + 1)
            piece = rest[: min(CHUNK_BYTES, part.free_bytes)]
            part.write(piece)
            digest.update(piece)
            rest = rest[len(piece) :]
            turn_bytes += len(piece)
            if turn_bytes >= TURN_BYTES:
                turn_bytes = 0
                await asyncio.sleep(0)
    part.is_last = True
    yield part


class MultipartUpload:
    """One multipart upload, which sends a part while the next one is filled.

    Call either `complete` or `abort` at the end.
    """

    def __init__(
        self, client: S3Client, bucket: str, key: str, content_type: str, calls: S3CallLimiter
    ) -> None:
        self.size = 0  # bytes given to `send`
        self._client = client
        self._target: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._calls = calls
        # A task, so that a cancelled caller does not lose the upload's id.
        self._created = asyncio.create_task(self._create(content_type))
        self._sending: asyncio.Task[None] | None = None
        self._sent: list[CompletedPartTypeDef] = []

    async def send(self, part: Part) -> None:
        """Wait until the previous part is sent, then start to send this one."""
        await self._wait_for_previous()
        self.size += part.size
        self._sending = asyncio.create_task(self._send(part))

    async def complete(self) -> str:
        """Combine the parts to one object; return its ETag without quotes."""
        await self._wait_for_previous()
        async with self._calls.call():
            response = await self._client.complete_multipart_upload(
                **self._target,
                UploadId=await self._id(),
                MultipartUpload={"Parts": self._sent},
            )
        return response["ETag"].strip('"')

    async def abort(self) -> None:
        """Delete the parts. Raises nothing; a failure is logged."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        try:
            upload_id = await self._id()
        except Exception:  # S3 did not create the upload
            return
        try:
            async with self._calls.call():
                await self._client.abort_multipart_upload(**self._target, UploadId=upload_id)
        except Exception as error:
            _log.warning("upload_not_aborted", error=type(error).__name__, **self._target)

    async def _create(self, content_type: str) -> str:
        async with self._calls.call():
            response = await self._client.create_multipart_upload(
                **self._target, ContentType=content_type
            )
        return response["UploadId"]

    async def _id(self) -> str:
        return await asyncio.shield(self._created)

    async def _send(self, part: Part) -> None:
        async with self._calls.call():
            response = await self._client.upload_part(
                **self._target,
                UploadId=await self._id(),
                PartNumber=part.number,
                **part.content,
            )
        self._sent.append({"PartNumber": part.number, "ETag": response["ETag"]})

    async def _wait_for_previous(self) -> None:
        if self._sending is not None:
            await self._sending
