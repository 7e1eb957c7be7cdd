"""How commands reach the supervisor of a checkout: a lock that says it runs, a socket to ask it.

One JSON object a line each way. The lock is the kernel's, so that a killed supervisor leaves none.
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
END_TIMEOUT = 90.0  # seconds for a whole stack to end in order
_LINE_BYTES = 262_144
_POLL = 0.05


class RunLock:
    """Held by the one supervisor of a checkout for its life."""

    def __init__(self, run: Path) -> None:
        self._path = run / "lock"
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Whether it is ours now."""
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
        """Whether somebody else holds it."""
        if not self._path.exists():
            return False
        probe = RunLock(self._path.parent)
        held = not probe.acquire()
        probe.release()
        return held

    def wait_until_free(self, within: float) -> bool:
        deadline = time.monotonic() + within
        while self.is_held:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL)
        return True


def _address(run: Path) -> contextlib.AbstractContextManager[None]:
    # A Unix socket's path may have 107 bytes: by its name alone it always fits.
    return contextlib.chdir(run)


class ControlServer:
    """Answers each line that comes with what `handler` yields, then ends the connection."""

    def __init__(self, run: Path, handler: Handler) -> None:
        self._path = run / _SOCKET
        self._handler = handler
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._path.unlink(missing_ok=True)  # of a supervisor that was killed; we hold the lock
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _address(self._path.parent):
            listener.bind(_SOCKET)
        self._path.chmod(0o600)
        self._server = await asyncio.start_unix_server(
            self._serve, sock=listener, limit=_LINE_BYTES
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # the client may leave at any time
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
    """The supervisor's answers, one by one. Raises StackError where none comes in time."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(within)
    try:
        with client:
            with _address(run):
                client.connect(_SOCKET)
            client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile("rb") as answers:
                for line in answers:
                    message: Message = json.loads(line)
                    if "error" in message:
                        raise StackError(message["error"])
                    yield message
    except OSError as error:
        raise _silent(error) from error


async def ask_async(run: Path, within: float, **request: Any) -> Message:
    """The supervisor's first answer. Raises StackError where none comes in time."""
    try:
        async with asyncio.timeout(within):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                with _address(run):
                    client.connect(_SOCKET)  # of this machine: at once or not at all
                client.setblocking(False)
                reader, writer = await asyncio.open_unix_connection(sock=client, limit=_LINE_BYTES)
                writer.write(json.dumps(request).encode() + b"\n")
                try:
                    message: Message = json.loads(await reader.readline())
                finally:
                    writer.close()
    except (OSError, ValueError) as error:
        raise _silent(error) from error
    if "error" in message:
        raise StackError(message["error"])
    return message


def _silent(error: Exception) -> StackError:
    return StackError(f"the supervisor does not answer ({error})")
