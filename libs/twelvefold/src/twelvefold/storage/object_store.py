"""Objects in S3: streamed in and out, listed, and shown to clients by signed URLs.

Owns the client, its bounds and the meaning of its errors. Not the keys: whoever owns an object
names it. One bucket per store.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import (
    AbstractAsyncContextManager,
    aclosing,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol
from urllib.parse import quote

from twelvefold.errors import NotFound
from twelvefold.settings import ObjectStoreSettings

from .client import Clients, S3CallLimiter, is_missing, open_clients, probe_endpoint
from .upload import CHUNK_BYTES, MultipartUpload, Part, parts

ReadMethod = Literal["GET", "HEAD"]
_OPERATIONS: dict[ReadMethod, str] = {"GET": "get_object", "HEAD": "head_object"}
MAX_PRESIGNED = timedelta(days=7)  # a limit of Signature Version 4


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What S3 holds. `size` in bytes; `etag` as S3 gave it, without the quotes.

    `sha256` (hexadecimal) is known after a put, and by `stat` where the object was put in one
    piece; `modified_at` by `stat` and `list`.
    """

    key: str
    size: int
    sha256: str | None
    etag: str
    modified_at: datetime | None = None


class ObjectStore(Protocol):
    """Objects by key. Every call raises DependencyUnavailable("s3") where S3 does not answer."""

    async def put(self, key: str, chunks: AsyncIterator[bytes], content_type: str) -> StoredObject:
        """Stores the whole stream and replaces an object of that key, or leaves all as it was.

        Where S3's last answer was lost, either may be the case. Holds at most two parts of 5 MiB.
        """

    def open(self, key: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The content in chunks of at most 64 KiB. Raises NotFound."""

    async def stat(self, key: str) -> StoredObject | None:
        """What is stored under `key`, or None."""

    async def presign(
        self,
        key: str,
        expires: timedelta,
        filename: str | None = None,
        *,
        method: ReadMethod = "GET",
    ) -> str:
        """A URL by which anybody may GET the object for `expires`: 1 s to 7 days, else ValueError.

        S3 is not asked, so the object may be absent. With `filename` a browser saves it as that.
        The signature covers `method`: one for GET is refused for a HEAD.
        """

    async def delete(self, key: str) -> None:
        """Gone afterwards, whether or not it was there."""

    def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Every object whose key begins with `prefix`, in the order of the keys."""

    async def ensure_bucket(self) -> None:
        """Creates the bucket where it is missing. S3's own error where it is somebody else's."""

    async def warm_up(self) -> None:
        """Gets ready for the first call, which otherwise pays for it."""

    async def ping(self) -> None:
        """Raises where the bucket cannot be reached; before the first call, where S3 cannot."""

    async def aclose(self) -> None:
        """Closes the connections, after what a failed put has left is removed."""


class S3ObjectStore:
    """S3 by aioboto3. Without a key id the platform's own credentials count.

    `s3_timeout` bounds each call to S3 with all of its attempts, and each wait for a part of a body.
    """

    def __init__(self, settings: ObjectStoreSettings, *, page_size: int = 1000) -> None:
        self._settings = settings
        self._bucket = settings.s3_bucket
        self._calls = S3CallLimiter(settings)
        self._page_size = page_size
        self._opening: asyncio.Task[Clients] | None = None
        self._removals: set[asyncio.Task[None]] = set()

    async def put(self, key: str, chunks: AsyncIterator[bytes], content_type: str) -> StoredObject:
        client = (await self._clients()).calls
        digest = hashlib.sha256()
        async with aclosing(parts(chunks, digest)) as stream:
            first = await anext(stream)
            if first.last:
                etag = await self._put_whole(key, first, content_type, digest.hexdigest())
                return StoredObject(key, first.size, digest.hexdigest(), etag)
            upload = MultipartUpload(client, self._bucket, key, content_type, self._calls)
            try:
                await upload.send(first)
                del first  # its memory is the upload's now
                async for part in stream:
                    await upload.send(part)
                etag = await upload.complete()
            except BaseException:
                await self._remove(upload.abort())
                raise
        return StoredObject(key, upload.size, digest.hexdigest(), etag)

    async def _put_whole(self, key: str, part: Part, content_type: str, sha256: str) -> str:
        client = (await self._clients()).calls
        async with self._calls.call():
            response = await client.put_object(
                Bucket=self._bucket,
                Key=key,
                ContentType=content_type,
                Metadata={"sha256": sha256},
                **part.content,
            )
        return response["ETag"].strip('"')

    async def _remove(self, removal: Coroutine[Any, Any, None]) -> None:
        # Shielded, since a cancellation is what most often brings us here.
        task = asyncio.create_task(removal)
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)
        await asyncio.shield(task)

    @asynccontextmanager
    async def open(self, key: str) -> AsyncIterator[AsyncIterator[bytes]]:
        client = (await self._clients()).calls
        async with self._calls.call():
            try:
                response = await client.get_object(Bucket=self._bucket, Key=key)
            except client.exceptions.ClientError as error:
                if is_missing(error):
                    raise NotFound("no such object") from error
                raise
        body = response["Body"]  # what it enters is aiohttp's response, not itself
        async with body, aclosing(self._chunks(body)) as chunks:
            yield chunks

    async def _chunks(self, body: Any) -> AsyncGenerator[bytes]:
        while True:
            async with self._calls.chunk():
                chunk: bytes = await body.read(CHUNK_BYTES)
            if not chunk:
                return
            yield chunk

    async def stat(self, key: str) -> StoredObject | None:
        client = (await self._clients()).calls
        async with self._calls.call():
            try:
                found = await client.head_object(Bucket=self._bucket, Key=key)
            except client.exceptions.ClientError as error:
                if is_missing(error):
                    return None
                raise
        return StoredObject(
            key,
            found["ContentLength"],
            found["Metadata"].get("sha256"),
            found["ETag"].strip('"'),
            found["LastModified"],
        )

    async def presign(
        self,
        key: str,
        expires: timedelta,
        filename: str | None = None,
        *,
        method: ReadMethod = "GET",
    ) -> str:
        if not timedelta(seconds=1) <= expires <= MAX_PRESIGNED:
            raise ValueError("a URL is signed for 1 s to 7 days")
        parameters = {"Bucket": self._bucket, "Key": key}
        if filename is not None:
            # RFC 6266 and RFC 8187: any name, and nothing in it ends the header.
            saved_as = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
            parameters["ResponseContentDisposition"] = saved_as
        signing = (await self._clients()).signing
        async with self._calls.call():  # the platform may have to renew its credentials
            return await signing.generate_presigned_url(
                _OPERATIONS[method], Params=parameters, ExpiresIn=int(expires.total_seconds())
            )

    async def delete(self, key: str) -> None:
        client = (await self._clients()).calls
        async with self._calls.call():
            try:
                await client.delete_object(Bucket=self._bucket, Key=key)
            except client.exceptions.ClientError as error:
                if not is_missing(error):  # AWS answers 204, some others 404
                    raise

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        client = (await self._clients()).calls
        where: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix}
        while True:
            async with self._calls.call():
                page = await client.list_objects_v2(**where, MaxKeys=self._page_size)
            for found in page.get("Contents", ()):
                etag = found["ETag"].strip('"')
                yield StoredObject(found["Key"], found["Size"], None, etag, found["LastModified"])
            if not page["IsTruncated"]:
                return
            where["ContinuationToken"] = page["NextContinuationToken"]

    async def ensure_bucket(self) -> None:
        client = (await self._clients()).calls
        async with self._calls.call():
            with suppress(client.exceptions.BucketAlreadyOwnedByYou):
                try:
                    await client.head_bucket(Bucket=self._bucket)
                except client.exceptions.ClientError as error:
                    if not is_missing(error):
                        raise
                    await client.create_bucket(Bucket=self._bucket, **self._placement())

    def _placement(self) -> dict[str, Any]:
        region = self._settings.s3_region
        if region == "us-east-1":
            return {}  # S3 refuses this one where it is named
        return {"CreateBucketConfiguration": {"LocationConstraint": region}}

    async def warm_up(self) -> None:
        await self._clients()

    async def ping(self) -> None:
        if self._opening is None:
            # Nobody has needed the client yet: a probe is not worth its memory and its import.
            await probe_endpoint(self._settings)
            return
        client = (await self._clients()).calls
        async with self._calls.chunk():  # past the breaker: by it we learn that S3 is back
            await client.head_bucket(Bucket=self._bucket)

    async def aclose(self) -> None:
        await asyncio.gather(*self._removals, return_exceptions=True)
        opening, self._opening = self._opening, None
        if opening is None:
            return
        if not opening.done():
            opening.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await (await opening).aclose()

    async def _clients(self) -> Clients:
        """Opened once. A cancelled first caller leaves the opening to the next."""
        if self._opening is None:
            self._opening = asyncio.create_task(asyncio.to_thread(open_clients, self._settings))
        try:
            return await asyncio.shield(self._opening)
        except Exception:
            self._opening = None
            raise
