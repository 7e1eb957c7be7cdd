"""Takes connections from a listening socket, several at a time.

uvloop (libuv since 1.45) takes one per turn of its loop, and a turn is long just when many come: then
the kernel's queue grows, and who waits in it is neither served nor told to come back. Owns the
listening socket and nothing of the connections.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress

import structlog

BACKLOG = 2048  # connections that the kernel keeps until we take them
AT_ONCE = 32  # in one turn: bounded, so that connections that are there get theirs
_ALL = 1 << 16  # more than a kernel keeps waiting
_BREAK = 1.0  # seconds without accepting where the process has no descriptor left
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_log = structlog.get_logger(__name__)


class Acceptor:
    """Accepts on a socket, which is its own from now on, until it is closed."""

    def __init__(self, listening: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Call it in the loop that serves. `protocol` is called for each connection."""
        listening.setblocking(False)
        self._listening = listening
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[object]] = set()
        self._break: asyncio.TimerHandle | None = None
        self._loop.add_reader(listening.fileno(), self._accept, AT_ONCE)

    async def aclose(self) -> None:
        """No more connections, but for those that the kernel has taken for us already."""
        if self._listening.fileno() < 0:
            return
        self._loop.remove_reader(self._listening.fileno())
        self._accept(_ALL)
        if self._break is not None:  # also one that began just now
            self._break.cancel()
        self._listening.close()
        await asyncio.gather(*self._connecting)

    def _accept(self, max_connections: int) -> None:
        for _ in range(max_connections):
            try:
                connection, _address = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue  # it has gone again
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                _log.warning("cannot_accept", error=error.strerror)
                self._pause()
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._connected(connection))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connected(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # it has gone in between
            with suppress(OSError):
                connection.close()

    def _pause(self) -> None:
        """A socket that stays readable would be reported in each turn."""
        self._loop.remove_reader(self._listening.fileno())
        self._break = self._loop.call_later(
            _BREAK, self._loop.add_reader, self._listening.fileno(), self._accept, AT_ONCE
        )
