"""How a stream becomes an object: in parts, several of them by a multipart upload.

Owns the parts, their sums, and the clearing away of what was not completed.
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

PART_BYTES = 5 * 1024 * 1024  # S3's least size of a part that is not the last
CHUNK_BYTES = 64 * 1024
TURN_BYTES = 2 * CHUNK_BYTES  # summed and copied in under a millisecond


class Part:
    """Up to PART_BYTES of a stream, with their MD5, which S3 checks on arrival."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.size = 0
        self.last = False
        self._written = io.BytesIO()
        self._md5 = hashlib.md5(usedforsecurity=False)

    @property
    def room(self) -> int:
        return PART_BYTES - self.size

    def write(self, piece: memoryview) -> None:
        self._written.write(piece)
        self._md5.update(piece)
        self.size += len(piece)

    @property
    def content(self) -> dict[str, Any]:
        """Arguments of a call that sends this part, from its beginning."""
        self._written.seek(0)
        md5 = base64.b64encode(self._md5.digest()).decode()  # as in RFC 1864
        return {"Body": self._written, "ContentLength": self.size, "ContentMD5": md5}


async def parts(chunks: AsyncIterator[bytes], digest: Any) -> AsyncGenerator[Part]:
    """Full parts, then the last one, which is marked: at least one, empty for an empty stream.

    Hashes into `digest` on the way, and gives the loop a turn even where `chunks` never waits.
    Holds one part at a time.
    """
    part, unbroken = Part(1), 0
    async for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            if not part.room:
                yield part
                part = Part(part.number + 1)
            piece = rest[: min(CHUNK_BYTES, part.room)]
            part.write(piece)
            digest.update(piece)
            rest = rest[len(piece) :]
            unbroken += len(piece)
            if unbroken >= TURN_BYTES:
                unbroken = 0
                await asyncio.sleep(0)
    part.last = True
    yield part


class MultipartUpload:
    """One multipart upload: a part travels while the next one is filled.

    Ends by `complete` or by `abort`, never by both.
    """

    def __init__(
        self, client: S3Client, bucket: str, key: str, content_type: str, calls: S3CallLimiter
    ) -> None:
        self.size = 0  # bytes given to `send`
        self._client = client
        self._target: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._calls = calls
        # A task, so that the upload's id is not lost with a caller cancelled right now.
        self._created = asyncio.create_task(self._create(content_type))
        self._sending: asyncio.Task[None] | None = None
        self._sent: list[CompletedPartTypeDef] = []

    async def send(self, part: Part) -> None:
        """Waits until the part before has arrived, then sends this one without waiting."""
        await self._arrived()
        self.size += part.size
        self._sending = asyncio.create_task(self._send(part))

    async def complete(self) -> str:
        """Makes the parts one object; returns its ETag."""
        await self._arrived()
        async with self._calls.call():
            response = await self._client.complete_multipart_upload(
                **self._target,
                UploadId=await self._id(),
                MultipartUpload={"Parts": self._sent},
            )
        return response["ETag"].strip('"')

    async def abort(self) -> None:
        """Lets S3 forget the parts. Raises nothing: a failure is logged."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        try:
            upload_id = await self._id()
        except Exception:  # it did not begin
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

    async def _arrived(self) -> None:
        if self._sending is not None:
            await self._sending
