"""The connection between commands and the supervisor of a checkout: a lock and a Unix socket.

Requests and responses are JSON objects, one per line. The kernel releases the lock of a killed
supervisor (flock(2)).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from twelvefold_dev.servers.server import StackError

Message = dict[str, Any]
Handler = Callable[[Message], AsyncIterator[Message]]
_SOCKET = "control.sock"
MAX_PROCESSES = 16  # of one service
END_TIMEOUT = 90.0  # seconds for a whole stack to end in order
_MAX_LINE_BYTES = 262_144
_POLL_INTERVAL = 0.05  # seconds


class RunLock:
    """The lock that the only supervisor of a checkout holds for its whole life."""

    def __init__(self, run: Path) -> None:
        self._path = run / "lock"
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Try to take the lock and return whether this process holds it now."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def is_held(self) -> bool:
        """Whether another process holds the lock."""
        if not self._path.exists():
            return False
        probe = RunLock(self._path.parent)
        held = not probe.acquire()
        probe.release()
        return held

    def wait_until_free(self, within: float) -> bool:
        """Return whether the lock became free within so many seconds."""
        deadline = time.monotonic() + within
        while self.is_held:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_INTERVAL)
        return True


def _address(run: Path) -> contextlib.AbstractContextManager[None]:
    # The path of a Unix socket has at most 107 bytes, so it is opened by its name alone.
    return contextlib.chdir(run)


class ControlServer:
    """Serves one request per connection: sends what `handler` yields, then closes it."""

    def __init__(self, run: Path, handler: Handler) -> None:
        self._path = run / _SOCKET
        self._handler = handler
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        # A killed supervisor leaves its socket; the caller holds the lock.
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _address(self._path.parent):
            listener.bind(_SOCKET)
        self._path.chmod(0o600)
        self._server = await asyncio.start_unix_server(
            self._serve, sock=listener, limit=_MAX_LINE_BYTES
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # the client may disconnect at any time
            try:
                request = json.loads(await reader.readline())
                async for message in self._handler(request):
                    writer.write(json.dumps(message).encode() + b"\n")
                    await writer.drain()
            except (ValueError, StackError) as error:
                writer.write(json.dumps({"error": str(error)}).encode() + b"\n")
            finally:
                writer.close()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)


def ask(run: Path, within: float, **request: Any) -> Iterator[Message]:
    """Send a request and yield the supervisor's responses.

    Raises StackError where it reports an error, or where no response arrives within so many
    seconds.
    """
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(within)
    try:
        with client:
            with _address(run):
                client.connect(_SOCKET)
            client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile("rb") as responses:
                for line in responses:
                    message: Message = json.loads(line)
                    if "error" in message:
                        raise StackError(message["error"])
                    yield message
    except OSError as error:
        raise _unreachable(error) from error


async def ask_async(run: Path, within: float, **request: Any) -> Message:
    """Send a request and return the first response. Raises StackError as `ask` does."""
    try:
        async with asyncio.timeout(within):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                with _address(run):
                    client.connect(_SOCKET)  # a Unix socket connects at once or fails
                client.setblocking(False)
                reader, writer = await asyncio.open_unix_connection(
                    sock=client, limit=_MAX_LINE_BYTES
                )
                writer.write(json.dumps(request).encode() + b"\n")
                try:
                    message: Message = json.loads(await reader.readline())
                finally:
                    writer.close()
    except (OSError, ValueError) as error:
        raise _unreachable(error) from error
    if "error" in message:
        raise StackError(message["error"])
    return message


def _unreachable(error: Exception) -> StackError:
    return StackError(f"the supervisor does not respond ({error})")
