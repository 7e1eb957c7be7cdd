"""Listening sockets that the supervisor binds once and passes to the processes of a service.

Several processes accept from one socket. During a restart the kernel queues new connections
instead of refusing them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

from .ports import LOOPBACK

PUBLIC_PORT = 8000
_MAX_PUBLIC_PORTS = 200
_BACKLOG = 1024


def listen_on_first_free(ports: Iterable[int]) -> socket.socket:
    """Return a listening socket on the first free port. Raises OSError where none is free."""
    last: OSError | None = None
    for port in ports:
        try:
            return _listen(port)
        except OSError as error:
            last = error
    raise OSError("no free port to listen on") from last


def public_ports() -> Iterable[int]:
    """Return the ports to try for the public API: 8000, those after it, then any."""
    return (*range(PUBLIC_PORT, PUBLIC_PORT + _MAX_PUBLIC_PORTS), 0)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Allows connections in TIME_WAIT from an earlier run, but no second listener.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the http:// URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"
