"""The place of a backup: a directory of files, or the objects below a prefix of a bucket."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from twelvefold.errors import NotFound, TwelvefoldError
from twelvefold.settings import ObjectStoreSettings
from twelvefold.storage.object_store import ObjectStore, S3ObjectStore

_CHUNK_BYTES = 1024 * 1024


class ArchiveError(TwelvefoldError):
    """The archive cannot hold a file under the given name."""


class Archive(Protocol):
    """Files by name, read and written as streams. A name may contain slashes."""

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Write the whole stream or nothing, and replace an existing file. Raises ArchiveError."""

    def read(self, name: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a file as a stream of chunks. Raises NotFound, ArchiveError."""

    async def is_empty(self) -> bool:
        """Return whether the archive holds no file."""

    async def aclose(self) -> None:
        """Close connections."""


class DirectoryArchive:
    """Files below one directory, readable by their owner only."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        path = self._path(name)
        descriptor, partial = self._open_partial(path)
        try:
            # A write of one chunk into the page cache is too short to delay the event loop.
            with os.fdopen(descriptor, "wb") as file:
                async for chunk in chunks:
                    file.write(chunk)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    @asynccontextmanager
    async def read(self, name: str) -> AsyncIterator[AsyncIterator[bytes]]:
        path = self._path(name)
        if not path.is_file():
            raise NotFound(f"{path} does not exist")

        async def chunks() -> AsyncIterator[bytes]:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk

        yield chunks()

    def _path(self, name: str) -> Path:
        """Return the path of `name`. Raises ArchiveError where it is not below the directory."""
        parts = name.split("/")
        if "\0" in name or not {"", ".", ".."}.isdisjoint(parts):
            raise ArchiveError(f"{name!r} is not the name of a file in the archive")
        return self._directory.joinpath(*parts)

    def _open_partial(self, path: Path) -> tuple[int, Path]:
        """Create a temporary file beside `path` with mode 0600, whatever the umask."""
        try:
            self._make_folder(path.parent)
            descriptor, partial = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
        except OSError as error:
            raise ArchiveError(f"{path.name!r} cannot be written: {error.strerror}") from error
        return descriptor, Path(partial)

    def _make_folder(self, folder: Path) -> None:
        """Create each level below the archive with mode 0700; `parents=True` applies the umask."""
        for level in (*reversed(folder.parents), folder):
            if level == self._directory or self._directory in level.parents:
                level.mkdir(exist_ok=True, mode=0o700)
            else:
                level.mkdir(exist_ok=True)

    async def is_empty(self) -> bool:
        return not self._directory.exists() or not any(self._directory.iterdir())

    async def aclose(self) -> None:
        return None


class BucketArchive:
    """Objects below one prefix of a bucket."""

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


def open_archive(location: str, s3: ObjectStoreSettings | None) -> Archive:
    """Open a directory, or `s3://bucket/prefix` with the settings `s3`.

    Raises ValueError where `location` is in S3 and `s3` is None.
    """
    if not location.startswith("s3://"):
        return DirectoryArchive(Path(location))
    if s3 is None:
        raise ValueError("a backup in S3 needs the S3_* settings")
    parts = urlsplit(location)
    settings = s3.model_copy(update={"s3_bucket": parts.netloc})
    prefix = parts.path.strip("/")
    return BucketArchive(S3ObjectStore(settings), f"{prefix}/" if prefix else "")
