"""The answer to requests of a service that has no running process: 503, with the reason.

Without it a client would wait in the backlog of the socket, which the supervisor keeps open, until
a process runs again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress

from twelvefold.errors import Unavailable
from twelvefold.http.server.wire.refusal import ProtocolError

_TIMEOUT = 5.0  # seconds for a request's head, and for the client to read the response
_MAX_HEAD_BYTES = 65_536
_RETRY_AFTER = "retry-after: 1\r\n"  # seconds


class StandIn:
    """Accepts from `listeners` while it is open. `reason` is called for every response."""

    def __init__(
        self,
        listeners: Iterable[socket.socket],
        reason: Callable[[], str],
        *,
        max_connections: int = 100,
    ) -> None:
        self._listeners = list(listeners)
        self._reason = reason
        self._max_connections = max_connections
        self._is_open = False
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._connections)

    def set_open(self, is_open: bool) -> None:
        """Start or stop to accept. Requires a running event loop."""
        if is_open == self._is_open:
            return
        self._is_open = is_open
        self._watch_listeners()

    def _watch_listeners(self) -> None:
        """Accept while it is open and has room; the rest stays in the backlog."""
        loop = asyncio.get_running_loop()
        accepts = self._is_open and len(self._connections) < self._max_connections
        for listener in self._listeners:
            if accepts:
                loop.add_reader(listener, self._accept, listener)
            else:
                loop.remove_reader(listener)

    def close(self) -> None:
        """Stop to accept and drop the open connections."""
        self.set_open(False)
        for task in self._connections:
            task.cancel()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            client, _ = listener.accept()
            task = asyncio.get_running_loop().create_task(self._serve(client))
            self._connections.add(task)
            task.add_done_callback(self._end)
            self._watch_listeners()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        if self._is_open:
            self._watch_listeners()

    async def _serve(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=client, limit=_MAX_HEAD_BYTES)
        try:
            async with asyncio.timeout(_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                error = ProtocolError(Unavailable.status, self._reason(), _RETRY_AFTER)
                writer.write(error.response(_path_of(head)))
                writer.write_eof()
                while await reader.read(_MAX_HEAD_BYTES):
                    pass  # a reset would discard the response
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()


def _path_of(head: bytes) -> str:
    target = [*head.split(b" ", 2), b"/"][1]
    return target.partition(b"?")[0].decode("ascii", "replace")
