"""The ports of the public listeners, which stay the same from one start to the next.

PORT fixes that of the edge, which is bound first. Otherwise a service gets the port that it had at
its last start, or the first free one from 8000 on.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import psutil

from twelvefold_dev.checkout import STATE, read_json, write_private
from twelvefold_dev.servers.server import StackError
from twelvefold_dev.system.sockets import PUBLIC_PORT, listen_on_first_free, public_ports

SETTING = "PORT"
_MAX_PORT = 65_535


class PublicPorts:
    """Binds public ports and records them in `path`. `notices` says why one has changed."""

    def __init__(self, path: Path, user_environment: Mapping[str, str]) -> None:
        self._path = path
        self._fixed = user_environment.get(SETTING)
        self._recorded: dict[str, int] = read_json(path) or {}
        self._is_first = True
        self.notices: list[str] = []

    def listen(self, service: str) -> socket.socket:
        """Return a listening socket for `service`.

        Raises StackError where PORT is taken or invalid, and OSError where no port is free.
        """
        is_first, self._is_first = self._is_first, False
        if is_first and self._fixed:
            return self._listen_on(self._fixed)
        wanted = self._recorded.get(service, PUBLIC_PORT)
        listener = listen_on_first_free((wanted, *public_ports()))
        port = listener.getsockname()[1]
        if port != wanted and (is_first or service in self._recorded):
            self.notices.append(
                f"port {wanted} is taken by {find_holder(wanted)}: {service} listens on {port}"
            )
        if self._recorded.get(service) != port:
            self._recorded[service] = port
            write_private(self._path, self._recorded)
        return listener

    @staticmethod
    def _listen_on(value: str) -> socket.socket:
        if not value.isdecimal() or not 1 <= int(value) <= _MAX_PORT:
            raise StackError(f"{SETTING} is not a port from 1 to {_MAX_PORT}: {value}")
        try:
            return listen_on_first_free((int(value),))
        except OSError as error:
            raise StackError(
                f"{SETTING} {value} is taken by {find_holder(int(value))}: choose another"
            ) from error


def find_holder(port: int) -> str:
    """Return who listens on `port`: the suite in a folder, a program, or "another process"."""
    try:
        pids = {
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        }
        for pid in sorted(pid for pid in pids if pid is not None):
            process = psutil.Process(pid)
            folder = Path(process.cwd())
            if (folder / STATE).is_dir():
                return f"the suite in {folder}"
            return f"{process.name()} (process {pid})"
    except (psutil.Error, OSError):
        pass  # macOS, and processes of other users
    return "another process"
