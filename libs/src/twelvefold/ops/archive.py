"""Where a backup lies: files in a directory, or objects below a prefix of a bucket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from twelvefold.errors import NotFound
from twelvefold.object_store import ObjectStore, S3ObjectStore
from twelvefold.settings import ObjectStoreSettings

CHUNK = 1024 * 1024  # bytes


class Archive(Protocol):
    """Files by name, as streams. A name may hold slashes."""

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """The whole stream or nothing of it. Replaces what was there."""

    def read(self, name: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Raises NotFound."""

    async def is_empty(self) -> bool:
        """Whether nothing lies there yet."""

    async def aclose(self) -> None:
        """Gives up connections."""


class DirectoryArchive:
    """Files below one directory, for its owner alone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        path = self._directory / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_name(f"{path.name}.partial")
        # Into the page cache, a megabyte at a time: no write is long, and nobody else waits.
        with partial.open("wb") as file:
            async for chunk in chunks:
                file.write(chunk)
        partial.replace(path)

    @asynccontextmanager
    async def read(self, name: str) -> AsyncIterator[AsyncIterator[bytes]]:
        path = self._directory / name
        if not path.is_file():
            raise NotFound(f"{path} is not there")

        async def chunks() -> AsyncIterator[bytes]:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    yield chunk

        yield chunks()

    async def is_empty(self) -> bool:
        return not self._directory.exists() or not any(self._directory.iterdir())

    async def aclose(self) -> None:
        return None


class BucketArchive:
    """Objects below one prefix."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        await self._store.put(f"{self._prefix}{name}", chunks, "application/octet-stream")

    @asynccontextmanager
    async def read(self, name: str) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._store.open(f"{self._prefix}{name}") as chunks:
            yield chunks

    async def is_empty(self) -> bool:
        async for _ in self._store.list(self._prefix):
            return False
        return True

    async def aclose(self) -> None:
        await self._store.aclose()


def archive_of(location: str, s3: ObjectStoreSettings | None) -> Archive:
    """A path, or `s3://bucket/prefix` on the S3 of `s3`. Raises ValueError where that is missing."""
    if not location.startswith("s3://"):
        return DirectoryArchive(Path(location))
    if s3 is None:
        raise ValueError("a backup in S3 needs the S3_… settings")
    parts = urlsplit(location)
    settings = s3.model_copy(update={"s3_bucket": parts.netloc})
    prefix = parts.path.strip("/")
    return BucketArchive(S3ObjectStore(settings), f"{prefix}/" if prefix else "")
