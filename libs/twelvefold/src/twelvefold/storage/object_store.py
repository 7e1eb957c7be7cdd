"""Objects in S3: streamed in and out, listed, and given to clients by signed URLs.

One store uses one bucket. The owner of an object chooses its key.
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
from .upload import CHUNK_BYTES, MultipartUpload, Part, split_into_parts

ReadMethod = Literal["GET", "HEAD"]
_OPERATIONS: dict[ReadMethod, str] = {"GET": "get_object", "HEAD": "head_object"}
MAX_PRESIGNED = timedelta(days=7)  # the limit of Signature Version 4


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in S3. `size` is in bytes; `etag` has no quotes.

    `put` sets `sha256` (hexadecimal), and `stat` where the object was stored by one call; `stat`
    and `list` set `modified_at`.
    """

    key: str
    size: int
    sha256: str | None
    etag: str
    modified_at: datetime | None = None


class ObjectStore(Protocol):
    """Objects by key. Every call raises DependencyUnavailable("s3") where S3 is unavailable."""

    async def put(self, key: str, chunks: AsyncIterator[bytes], content_type: str) -> StoredObject:
        """Store the whole stream under `key`, replacing an existing object, or change nothing.

        If S3's last response is lost, either may be the case. Holds at most two parts of 5 MiB.
        """

    def open(self, key: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Return the content in chunks of at most 64 KiB. Raises NotFound."""

    async def stat(self, key: str) -> StoredObject | None:
        """Return what is stored under `key`, or None."""

    async def presign(
        self,
        key: str,
        expires: timedelta,
        filename: str | None = None,
        *,
        method: ReadMethod = "GET",
    ) -> str:
        """Return a URL that gives any client access to the object for `expires`.

        Does not call S3, so the object may be absent. `filename` is the name under which a browser
        saves it. The signature covers `method`: a URL for GET is refused for a HEAD. Raises
        ValueError unless `expires` is 1 s to 7 days.
        """

    async def delete(self, key: str) -> None:
        """Delete the object. Succeeds if there is none."""

    def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Yield every object whose key begins with `prefix`, in the order of the keys."""

    async def ensure_bucket(self) -> None:
        """Create the bucket if it is missing. Raises S3's error if another account owns it."""

    async def warm_up(self) -> None:
        """Open the client now, which the first call would otherwise have to wait for."""

    async def ping(self) -> None:
        """Check that the bucket can be reached; before the first call, that S3 can be."""

    async def aclose(self) -> None:
        """Close the connections, after the removal of what failed puts left."""


class S3ObjectStore:
    """S3 by aioboto3. Without a key id it uses the platform's credentials.

    `s3_timeout` bounds each call to S3 with all of its attempts, and the wait for each chunk.
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
        async with aclosing(split_into_parts(chunks, digest)) as stream:
            first = await anext(stream)
            if first.is_last:
                etag = await self._put_whole(key, first, content_type, digest.hexdigest())
                return StoredObject(key, first.size, digest.hexdigest(), etag)
            upload = MultipartUpload(client, self._bucket, key, content_type, self._calls)
            try:
                await upload.send(first)
                del first  # so that the upload can free its memory
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
        # Shielded, because a cancellation is the most frequent reason for a removal.
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
        body = response["Body"]  # entering it returns aiohttp's response, so use this name
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
                response = await client.head_object(Bucket=self._bucket, Key=key)
            except client.exceptions.ClientError as error:
                if is_missing(error):
                    return None
                raise
        return StoredObject(
            key,
            response["ContentLength"],
            response["Metadata"].get("sha256"),
            response["ETag"].strip('"'),
            response["LastModified"],
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
            raise ValueError("expires must be 1 s to 7 days")
        parameters = {"Bucket": self._bucket, "Key": key}
        if filename is not None:
            # RFC 6266 and RFC 8187: any name is possible, and none can end the header.
            saved_as = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
            parameters["ResponseContentDisposition"] = saved_as
        signing = (await self._clients()).signing
        async with self._calls.call():  # credentials of the platform may need a renewal
            return await signing.generate_presigned_url(
                _OPERATIONS[method], Params=parameters, ExpiresIn=int(expires.total_seconds())
            )

    async def delete(self, key: str) -> None:
        client = (await self._clients()).calls
        async with self._calls.call():
            try:
                await client.delete_object(Bucket=self._bucket, Key=key)
            except client.exceptions.ClientError as error:
                if not is_missing(error):  # AWS responds 204, some other servers 404
                    raise

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        client = (await self._clients()).calls
        query: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix}
        while True:
            async with self._calls.call():
                page = await client.list_objects_v2(**query, MaxKeys=self._page_size)
            for entry in page.get("Contents", ()):
                etag = entry["ETag"].strip('"')
                yield StoredObject(entry["Key"], entry["Size"], None, etag, entry["LastModified"])
            if not page["IsTruncated"]:
                return
            query["ContinuationToken"] = page["NextContinuationToken"]

    async def ensure_bucket(self) -> None:
        client = (await self._clients()).calls
        async with self._calls.call():
            with suppress(client.exceptions.BucketAlreadyOwnedByYou):
                try:
                    await client.head_bucket(Bucket=self._bucket)
                except client.exceptions.ClientError as error:
                    if not is_missing(error):
                        raise
                    await client.create_bucket(Bucket=self._bucket, **self._location())

    def _location(self) -> dict[str, Any]:
        region = self._settings.s3_region
        if region == "us-east-1":
            return {}  # S3 refuses this region as a constraint
        return {"CreateBucketConfiguration": {"LocationConstraint": region}}

    async def warm_up(self) -> None:
        await self._clients()

    async def ping(self) -> None:
        if self._opening is None:
            # The client is not needed yet, and a probe does not justify its memory and import.
            await probe_endpoint(self._settings)
            return
        client = (await self._clients()).calls
        async with self._calls.chunk():  # bypasses the breaker: a ping finds a recovered S3
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
        """Return the clients, opened once; a cancelled caller does not stop the opening."""
        if self._opening is None:
            self._opening = asyncio.create_task(asyncio.to_thread(open_clients, self._settings))
        try:
            return await asyncio.shield(self._opening)
        except Exception:
            self._opening = None
            raise
