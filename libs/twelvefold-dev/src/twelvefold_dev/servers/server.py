"""What every server of the laptop stack has in common, embedded or somebody else's.

Owns the Protocol, start with readiness, and stop in order. The servers themselves are in
`postgres`, `redis`, `object_store` and `mail`; which of them run together is in `embedded`.
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

_POLL = 0.02  # seconds between questions whether a server is ready
_DEFAULT_PORTS = {"postgres": 5432, "redis": 6379, "s3": 80, "mail": 25}


class StackError(Exception):
    """The stack cannot do what was asked; the message tells its user why, without a traceback."""


class ServerFailed(StackError):
    """The process `name` did not come up; `reason` continues the sentence."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} {reason}")
        self.name = name


class Server(Protocol):
    """A backing service of the stack. `start` may be called again after an end."""

    @property
    def name(self) -> str: ...

    @property
    def url(self) -> str:
        """Where clients reach it, credentials included."""

    @property
    def pid(self) -> int | None:
        """None while it does not run, and for a server that is not ours."""

    @property
    def is_alive(self) -> bool: ...

    @property
    def notice(self) -> str | None:
        """One line that its user should read, if there is anything unusual."""

    async def start(self, output: int | IO[bytes] = subprocess.DEVNULL) -> None:
        """Starts it and waits until it answers. Raises ServerFailed."""

    async def wait(self) -> int | None:
        """Returns its exit code when it ends by itself; never for a server that is not ours."""

    async def stop(self, *, replaced: bool = False) -> None:
        """Ends it in order, within bounded time. Does nothing where it does not run.

        `replaced`: another has taken its place, so it may take its time with its last clients.
        """


class EmbeddedServer(ABC):
    """A server from a wheel, run as our child with its data under `directory`."""

    name: str
    start_timeout: ClassVar[float] = 30.0
    stop_signals: ClassVar[Sequence[tuple[signal.Signals, float]]] = ((signal.SIGTERM, 8.0),)
    replaced_signals: ClassVar[Sequence[tuple[signal.Signals, float]]] = stop_signals

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # Where to note the running process, for whoever finds it after a crash of ours.
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
        """Where the data is: `directory`, unless the server cannot work there."""
        return self.directory

    async def prepare(self) -> None:
        """Creates what the server needs on disk; called before every start."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    @abstractmethod
    def launch(self, output: int | IO[bytes]) -> Launch: ...

    @abstractmethod
    async def is_ready(self) -> bool:
        """Whether it serves its purpose now. May raise OSError for no."""

    async def start(self, output: int | IO[bytes] = subprocess.DEVNULL) -> None:
        if self.is_alive:
            return
        try:
            await self.prepare()
            self._child = ChildProcess(self.launch(output))
            if self.pid_file is not None:
                from twelvefold_dev.supervisor.orphan_processes import note

                note(self.pid_file, self._child.pid)
        except OSError as error:
            raise ServerFailed(self.name, f"cannot be started: {error}") from error
        try:
            await self._until_ready(self._child)
        except BaseException:
            await self.stop()
            raise

    async def _until_ready(self, child: ChildProcess) -> None:
        deadline = time.monotonic() + self.start_timeout
        while time.monotonic() < deadline:
            try:
                if await self.is_ready():
                    return
            except OSError:
                pass  # not listening yet
            if not child.is_alive:
                raise ServerFailed(self.name, f"ended at its start with code {child.returncode}")
            await asyncio.sleep(_POLL)
        raise ServerFailed(self.name, f"was not ready within {self.start_timeout:.0f} s")

    async def wait(self) -> int | None:
        return await self._child.wait() if self._child else None

    async def stop(self, *, replaced: bool = False) -> None:
        if self._child is not None:
            await self._child.stop(self.replaced_signals if replaced else self.stop_signals)
        if self.pid_file is not None:
            self.pid_file.unlink(missing_ok=True)


class ExternalServer:
    """A server that runs already, named by a URL in the environment: used, never managed."""

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
            await asyncio.wait_for(answers(host, port), timeout=5)
        except (OSError, TimeoutError) as error:
            reason = f"of the environment does not answer at {host}:{port}"
            raise ServerFailed(self.name, reason) from error

    async def wait(self) -> int | None:
        await asyncio.Event().wait()
        return None

    async def stop(self, *, replaced: bool = False) -> None:
        return


async def answers(host: str, port: int) -> None:
    """Returns once a connection is accepted. Raises OSError where none is."""
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    await writer.wait_closed()


def without_password(url: str) -> str:
    """For people to see; the whole URL is in endpoints.json."""
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, _, account = head.partition("://")
    return f"{scheme}://{account.partition(':')[0]}@{tail}".replace("://@", "://")
