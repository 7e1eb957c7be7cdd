"""An acceptor that takes several connections from a listening socket per turn of the event loop.

uvloop (libuv since 1.45) accepts one connection per turn, and turns are long when many clients
connect. Then the kernel's queue grows, and its clients get neither a response nor a refusal.
`tests/bench/acceptor.py` measures the difference under a burst of connections. Owns the listening
socket, not the connections.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress

import structlog

BACKLOG = 2048  # connections that the kernel queues until they are accepted
MAX_ACCEPTS = 32  # per turn: bounded, so that open connections are served meanwhile
_ALL = 1 << 16  # more connections than a kernel queues
PAUSE = 1.0  # seconds without accepting after the process ran out of descriptors
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_log = structlog.get_logger(__name__)


class Acceptor:
    """Accepts connections on a socket, which it owns, until it is closed."""

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        *,
        pause: float = PAUSE,
    ) -> None:
        """Start to accept in the running event loop. `protocol` is called for each connection.

        `pause`: seconds without accepting after the process ran out of descriptors.
        """
        listening.setblocking(False)
        self._listening = listening
        self._protocol = protocol
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[object]] = set()
        self._resume_timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(listening.fileno(), self._accept, MAX_ACCEPTS)

    async def aclose(self) -> None:
        """Accept the connections that the kernel has queued, and close the socket."""
        if self._listening.fileno() < 0:
            return
        self._loop.remove_reader(self._listening.fileno())
        self._accept(_ALL)
        if self._resume_timer is not None:  # may have been set by the line above
            self._resume_timer.cancel()
        self._listening.close()
        await asyncio.gather(*self._connecting)

    def _accept(self, max_connections: int) -> None:
        for _ in range(max_connections):
            try:
                connection, _address = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue  # the client has left
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                _log.warning("cannot_accept", error=error.strerror)
                self._wait_for_descriptors()
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._connect(connection))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # the client has left
            with suppress(OSError):
                connection.close()

    def _wait_for_descriptors(self) -> None:
        """Stop accepting for a time: the loop would report the socket in each turn."""
        self._loop.remove_reader(self._listening.fileno())
        self._resume_timer = self._loop.call_later(
            self._pause, self._loop.add_reader, self._listening.fileno(), self._accept, MAX_ACCEPTS
        )
