"""Bodies of bytes that can be sent again: of a file, by its path or open, or in memory."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import anyio
import anyio.to_thread
import httpx

from .generated.types import Upload

CHUNK = 65_536  # bytes


class UploadStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The bytes of an upload from where it stands now; each iteration begins there again.

    A file that is given open must be able to seek, and stays open. Raises OSError where a file
    cannot be read.
    """

    def __init__(self, upload: Upload) -> None:
        self._path: Path | None = None
        self._file: BinaryIO = BytesIO()
        self._start = 0
        if isinstance(upload, (str, os.PathLike)):
            self._path = Path(upload)
            self.length = self._path.stat().st_size
            return
        self._file = BytesIO(upload) if isinstance(upload, bytes) else upload
        self._start = self._file.tell()
        self.length = self._file.seek(0, os.SEEK_END) - self._start

    def _open(self) -> BinaryIO:
        if self._path is not None:
            return self._path.open("rb")
        self._file.seek(self._start)
        return self._file

    def _close(self, file: BinaryIO) -> None:
        if self._path is not None:
            file.close()

    def __iter__(self) -> Iterator[bytes]:
        file = self._open()
        try:
            while chunk := file.read(CHUNK):
                yield chunk
        finally:
            self._close(file)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        file = await anyio.to_thread.run_sync(self._open)
        try:
            while chunk := await anyio.to_thread.run_sync(file.read, CHUNK):
                yield chunk
        finally:
            self._close(file)
