"""Listening sockets that the supervisor binds once and hands to the processes of a service.

Several processes accept from one socket, and while one is restarted the kernel keeps new
connections waiting: none is refused.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

from .ports import LOOPBACK

PUBLIC_PORT = 8000
_TRIES = 200
_BACKLOG = 1024


def listen_on_first_free(ports: Iterable[int]) -> socket.socket:
    """Raises OSError where every port is taken."""
    last: OSError | None = None
    for port in ports:
        try:
            return _listen(port)
        except OSError as error:
            last = error
    raise OSError("no free port to listen on") from last


def public_ports() -> Iterable[int]:
    """8000 if it is free, else the next, at last any."""
    return (*range(PUBLIC_PORT, PUBLIC_PORT + _TRIES), 0)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Connections of an earlier run may linger; a listener of today is still refused.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"
