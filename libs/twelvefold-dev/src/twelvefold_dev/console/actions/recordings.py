"""Requests that the services record whole while the user wants it, in memory only.

Owns the socket on which the processes deliver them, and the bounds. The existence of the socket
makes the processes record (`twelvefold_dev.recording`); it is readable by this user only.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import chdir, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket

from twelvefold_dev.recording.recorder import MAX_RECORD_BYTES

MAX_RECORDINGS = 200
_MAX_BYTES = 16_777_216  # of all bodies
_DURATION = 1_800.0  # seconds after which recording ends by itself
_RECEIVE_TIMEOUT = 5.0  # seconds for one recording to arrive


@dataclass(frozen=True, slots=True)
class Recording:
    """One request as its client sent it. `body` is None where it was not recorded whole.

    Headers that identify the caller or the connection are left out; `authorized` says whether
    there was an Authorization header.
    """

    request_id: str
    service: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    authorized: bool
    status: int
    body: bytes | None

    @classmethod
    def parse(cls, line: bytes) -> Recording:
        """Read a recording from a line of the socket. Raises ValueError, KeyError or TypeError."""
        content = json.loads(line)
        body = content["body"]
        return cls(
            request_id=str(content["request_id"]),
            service=str(content["service"]),
            method=str(content["method"]),
            target=str(content["target"]),
            headers=tuple((str(name), str(value)) for name, value in content["headers"]),
            authorized=bool(content["authorized"]),
            status=int(content["status"]),
            body=None if body is None else base64.b64decode(body),
        )


class Recordings:
    """The recordings of one console by request id, the newest last."""

    def __init__(self, path: Path, on_change: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._on_change = on_change
        self._recordings: OrderedDict[str, Recording] = OrderedDict()
        self._bytes = 0
        self._server: asyncio.Server | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self.until: float | None = None  # seconds since the epoch
        path.unlink(missing_ok=True)  # of a console that was killed

    def __len__(self) -> int:
        return len(self._recordings)

    def find(self, request_id: str) -> Recording | None:
        """Return the recording of a request, or None."""
        return self._recordings.get(request_id)

    async def start(self) -> None:
        """Record for half an hour from now."""
        if self._server is None:
            listener = socket(AF_UNIX, SOCK_STREAM)
            with chdir(self._path.parent):  # the address of a Unix socket has at most 107 bytes
                listener.bind(self._path.name)
            self._path.chmod(0o600)
            self._server = await asyncio.start_unix_server(
                self._receive, sock=listener, limit=MAX_RECORD_BYTES
            )
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = asyncio.get_running_loop().call_later(_DURATION, self.stop)
        self.until = time.time() + _DURATION
        self._on_change()

    def stop(self) -> None:
        """End recording. The recordings stay until they are discarded or the process ends."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if self._server is not None:
            self._path.unlink(missing_ok=True)
            self._server.close()
            self._server = None
        self.until = None
        self._on_change()

    def discard(self) -> None:
        """Forget all recordings."""
        self._recordings.clear()
        self._bytes = 0
        self._on_change()

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, TimeoutError, ValueError, KeyError, TypeError):
                async with asyncio.timeout(_RECEIVE_TIMEOUT):
                    self._add(Recording.parse(await reader.readline()))
        finally:
            writer.close()

    def _add(self, recording: Recording) -> None:
        if not recording.request_id or self._server is None:
            return
        if (replaced := self._recordings.pop(recording.request_id, None)) is not None:
            self._bytes -= len(replaced.body or b"")
        self._recordings[recording.request_id] = recording
        self._bytes += len(recording.body or b"")
        while len(self._recordings) > MAX_RECORDINGS or self._bytes > _MAX_BYTES:
            _, oldest = self._recordings.popitem(last=False)
            self._bytes -= len(oldest.body or b"")
        self._on_change()
