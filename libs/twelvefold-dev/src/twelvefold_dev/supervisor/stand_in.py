"""The answer to requests of a service that has no running process: 503, with the reason.

Without it a client would wait in the backlog of the socket, which the supervisor keeps open, until
a process runs again.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus

from twelvefold.errors import Unavailable
from twelvefold.identifiers import new_id

_TIMEOUT = 5.0  # seconds for a request's head, and for the client to read the response
_MAX_HEAD_BYTES = 65_536
_MAX_CONNECTIONS = 100
_RETRY_AFTER = 1  # seconds


class StandIn:
    """Accepts from `listeners` while it is open. `reason` is called for every response."""

    def __init__(self, listeners: Iterable[socket.socket], reason: Callable[[], str]) -> None:
        self._listeners = list(listeners)
        self._reason = reason
        self._is_open = False
        self._connections: set[asyncio.Task[None]] = set()

    def set_open(self, is_open: bool) -> None:
        """Start or stop to accept. Requires a running event loop."""
        if is_open == self._is_open:
            return
        self._is_open = is_open
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            if is_open:
                loop.add_reader(listener, self._accept, listener)
            else:
                loop.remove_reader(listener)

    def close(self) -> None:
        """Stop to accept and drop the open connections."""
        self.set_open(False)
        for task in self._connections:
            task.cancel()

    def _accept(self, listener: socket.socket) -> None:
        if len(self._connections) >= _MAX_CONNECTIONS:
            return  # it stays in the backlog until another connection ends
        with suppress(OSError):
            client, _ = listener.accept()
            task = asyncio.get_running_loop().create_task(self._serve(client))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _serve(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=client, limit=_MAX_HEAD_BYTES)
        try:
            async with asyncio.timeout(_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._response(_path_of(head)))
                writer.write_eof()
                while await reader.read(_MAX_HEAD_BYTES):
                    pass  # a reset would discard the response
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    def _response(self, path: str) -> bytes:
        status, request_id = HTTPStatus(Unavailable.status), str(new_id())
        body = json.dumps(
            {
                "type": f"/problems/{Unavailable.code}",
                "title": Unavailable.title,
                "status": status,
                "detail": self._reason(),
                "instance": path,
                "request_id": request_id,
            }
        ).encode()
        head = (
            f"HTTP/1.1 {status} {status.phrase}\r\n"
            "Content-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"Retry-After: {_RETRY_AFTER}\r\n"
            f"X-Request-ID: {request_id}\r\n"
            "Connection: close\r\n\r\n"
        )
        return head.encode("ascii") + body


def _path_of(head: bytes) -> str:
    target = [*head.split(b" ", 2), b"/"][1]
    return target.partition(b"?")[0].decode("ascii", "replace")
