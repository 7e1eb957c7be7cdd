"""One process of a service of the suite, as the supervisor sees it.

Owns its sockets and its probes; `environment` composes its environment.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO

from twelvefold.service.definition import Listener, Service
from twelvefold_dev.checkout import RECORDER_SOCKET
from twelvefold_dev.servers.server import EmbeddedServer
from twelvefold_dev.system.child_process import Launch
from twelvefold_dev.system.probe import get
from twelvefold_dev.system.sockets import listen_on_first_free, url_of

from .public_ports import PublicPorts

_PROBE_TIMEOUT = 1.0  # seconds
# The settings that name an inherited listener.
PUBLIC, INTERNAL, MANAGEMENT = "HTTP_FD", "INTERNAL_FD", "MANAGEMENT_FD"
_SETTINGS = {Listener.PUBLIC: PUBLIC, Listener.INTERNAL: INTERNAL}


@dataclass(frozen=True, slots=True)
class ServiceSockets:
    """The listeners, by setting, from which all processes of one service accept connections."""

    name: str
    shared: Mapping[str, socket.socket]

    @classmethod
    def bind(cls, service: Service, ports: PublicPorts) -> ServiceSockets:
        """Bind the listeners of a service. Raises StackError or OSError where that fails."""
        shared = {
            _SETTINGS[listener]: ports.listen(service.name)
            if listener is Listener.PUBLIC
            else listen_on_first_free((0,))
            for listener in service.listeners
        }
        return cls(service.name, shared)

    def url(self, setting: str) -> str | None:
        """Return the URL of a listener, or None where the service has no such listener."""
        listener = self.shared.get(setting)
        return url_of(listener) if listener else None

    def close(self) -> None:
        for listener in self.shared.values():
            listener.close()


class ServiceProcess(EmbeddedServer):
    """A process of a service with inherited sockets. `url` is the URL of its management port."""

    start_timeout = 60.0
    # Longer than the service's own grace period. SIGINT skips the lame-duck phase.
    stop_signals = ((signal.SIGINT, 15.0),)
    replaced_signals = ((signal.SIGTERM, 20.0),)

    def __init__(
        self,
        sockets: ServiceSockets,
        number: int,
        environment: Callable[[Mapping[str, int]], dict[str, str]],
        directory: Path,
    ) -> None:
        super().__init__(directory)
        self.service = sockets.name
        self.name = f"{sockets.name}.{number}"
        self._sockets = sockets
        self._environment = environment
        self._management = listen_on_first_free((0,))

    @property
    def url(self) -> str:
        return url_of(self._management)

    def launch(self, output: int | IO[bytes]) -> Launch:
        listeners = {**self._sockets.shared, MANAGEMENT: self._management}
        descriptors = {setting: listener.fileno() for setting, listener in listeners.items()}
        return Launch(
            command=[sys.executable, "-P", "-m", *self._program()],
            environment=self._environment(descriptors),
            directory=self.directory,
            output=output,
            pass_fds=tuple(descriptors.values()),
            orphan_signal=signal.SIGINT,
        )

    def _program(self) -> list[str]:
        """Return module and arguments: a process with a public listener can record requests."""
        if PUBLIC not in self._sockets.shared:
            return ["twelvefold.http.server", self.service]
        # Relative to the checkout, since the address of a Unix socket has at most 107 bytes.
        return ["twelvefold_dev.recording", self.service, RECORDER_SOCKET]

    async def is_ready(self) -> bool:
        """Return whether the process is alive; `is_ready_for_work` checks its readiness."""
        status, _ = await get(self.url, "/livez", within=_PROBE_TIMEOUT)
        return status == HTTPStatus.OK

    async def is_ready_for_work(self) -> bool:
        """Return whether /readyz of the process reports readiness."""
        try:
            status, _ = await get(self.url, "/readyz", within=_PROBE_TIMEOUT)
        except OSError:
            return False
        return status == HTTPStatus.OK

    def close(self) -> None:
        """Close the management port, after the last stop."""
        self._management.close()
