"""The common base of the servers of the laptop stack, embedded or external.

Owns the Protocol, the start with a readiness check, and the orderly stop. `postgres`, `redis`,
`object_store` and `mail_catcher` contain the servers, `embedded` all four together.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO, ClassVar, Protocol
from urllib.parse import urlsplit

from twelvefold_dev.system.child_process import ChildProcess, Launch
from twelvefold_dev.system.ports import LOOPBACK

_POLL_INTERVAL = 0.02  # seconds between two readiness checks
_DEFAULT_PORTS = {"postgres": 5432, "redis": 6379, "s3": 80, "mail": 25}


class StackError(Exception):
    """The stack cannot fulfil a request. Commands print the message without a traceback."""


class ServerFailed(StackError):
    """The process `name` failed; `reason` continues the sentence that its name begins."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} {reason}")
        self.name = name


class Server(Protocol):
    """A server of the stack. `start` may be called again after the server ended."""

    @property
    def name(self) -> str: ...

    @property
    def url(self) -> str:
        """The URL for clients, with credentials."""

    @property
    def pid(self) -> int | None:
        """The process id, or None while it does not run and for an external server."""

    @property
    def is_alive(self) -> bool: ...

    @property
    def notice(self) -> str | None:
        """One line about an unusual condition that the user should know, or None."""

    async def start(self, output: int | IO[bytes] = subprocess.DEVNULL) -> None:
        """Start the server and wait until it is ready. Raises ServerFailed."""

    async def wait(self) -> int | None:
        """Wait for the server's end and return its exit code. Never returns for an external one."""

    async def stop(self, *, replaced: bool = False) -> None:
        """Stop the server in order, within a time limit. Does nothing where it does not run.

        `replaced`: a new process serves already, so this one may take longer for its last clients.
        """


class EmbeddedServer(ABC):
    """A server from a wheel, run as a child process with its data under `directory`."""

    name: str
    start_timeout: ClassVar[float] = 30.0
    stop_signals: ClassVar[Sequence[tuple[signal.Signals, float]]] = ((signal.SIGTERM, 8.0),)
    replaced_signals: ClassVar[Sequence[tuple[signal.Signals, float]]] = stop_signals

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # Records the running process, so that the next start finds it after a crash.
        self.pid_file: Path | None = None
        self._child: ChildProcess | None = None

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child and self._child.is_alive else None

    @property
    def is_alive(self) -> bool:
        return self._child is not None and self._child.is_alive

    @property
    def notice(self) -> str | None:
        return None

    @property
    def home(self) -> Path:
        """The data directory: `directory` unless the server cannot use it."""
        return self.directory

    async def prepare(self) -> None:
        """Create the files and directories that the server needs. Called before every start."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    @abstractmethod
    def launch(self, output: int | IO[bytes]) -> Launch:
        """Return the command that runs the server."""

    @abstractmethod
    async def is_ready(self) -> bool:
        """Return whether the server accepts work. An OSError counts as not ready."""

    async def responds(self) -> bool:
        """Return whether a running server responds now; cheaper than `is_ready`.

        An open port proves nothing: the kernel accepts connections for a process that stands still.
        """
        return await self.is_ready()

    async def start(self, output: int | IO[bytes] = subprocess.DEVNULL) -> None:
        if self.is_alive:
            return
        try:
            await self.prepare()
            self._child = ChildProcess(self.launch(output))
            if self.pid_file is not None:
                from twelvefold_dev.supervisor.orphan_processes import record_process

                record_process(self.pid_file, self._child.pid)
        except OSError as error:
            raise ServerFailed(self.name, f"cannot be started: {error}") from error
        try:
            await self._wait_until_ready(self._child)
        except BaseException:
            await self.stop()
            raise

    async def _wait_until_ready(self, child: ChildProcess) -> None:
        deadline = time.monotonic() + self.start_timeout
        while time.monotonic() < deadline:
            try:
                if await self.is_ready():
                    return
            except OSError:
                pass  # not listening yet
            if not child.is_alive:
                raise ServerFailed(self.name, f"ended during start with code {child.returncode}")
            await asyncio.sleep(_POLL_INTERVAL)
        raise ServerFailed(self.name, f"was not ready within {self.start_timeout:.0f} s")

    async def wait(self) -> int | None:
        return await self._child.wait() if self._child else None

    async def stop(self, *, replaced: bool = False) -> None:
        if self._child is not None:
            await self._child.stop(self.replaced_signals if replaced else self.stop_signals)
        if self.pid_file is not None:
            self.pid_file.unlink(missing_ok=True)


class ExternalServer:
    """A running server named by a URL in the environment, which the stack does not manage."""

    pid = None

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.url = url

    @property
    def is_alive(self) -> bool:
        return True

    @property
    def notice(self) -> str | None:
        return None

    async def start(self, output: int | IO[bytes] = subprocess.DEVNULL) -> None:
        parts = urlsplit(self.url)
        host = parts.hostname or LOOPBACK
        port = parts.port or (443 if parts.scheme == "https" else _DEFAULT_PORTS[self.name])
        try:
            await asyncio.wait_for(check_connection(host, port), timeout=5)
        except (OSError, TimeoutError) as error:
            reason = f"(external) does not respond at {host}:{port}"
            raise ServerFailed(self.name, reason) from error

    async def wait(self) -> int | None:
        await asyncio.Event().wait()
        return None

    async def stop(self, *, replaced: bool = False) -> None:
        return


async def check_connection(host: str, port: int) -> None:
    """Open and close a TCP connection. Raises OSError where it is not accepted."""
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    await writer.wait_closed()


def strip_password(url: str) -> str:
    """Return `url` with its user but without its password, for display."""
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, _, account = head.partition("://")
    return f"{scheme}://{account.partition(':')[0]}@{tail}".replace("://@", "://")
