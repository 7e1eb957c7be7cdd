"""Processes that a nemesis ends and that come back by themselves, as pods do."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

WORKER = Path(__file__).with_name("worker_child.py")
_AGAIN = 0.2  # seconds between an end and the next start


@dataclass(frozen=True, slots=True)
class End:
    """One end of one process: its name in rows and logs, when, and by which signal."""

    name: str
    at: float
    by: signal.Signals


@dataclass
class Process:
    """One worker, over all of its lives; each life has a name of its own."""

    name: str
    environment: Mapping[str, str]
    folder: Path
    ends: list[End] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _child: asyncio.subprocess.Process | None = None
    _life: str = ""
    _keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        child = self._child
        return child.pid if child is not None and child.returncode is None else None

    async def start(self) -> None:
        """Returns once it has logged that it is ready."""
        self._life = f"{self.name}-{next(self._numbers)}"
        log = self.folder / f"{self._life}.log"
        with log.open("wb") as output:
            self._child = await asyncio.create_subprocess_exec(
                sys.executable,
                str(WORKER),
                env={**self.environment, "INSTANCE_ID": self._life},
                stdout=output,
                stderr=output,
            )
        async with asyncio.timeout(60):
            while b'"ready"' not in log.read_bytes():
                if self._child.returncode is not None:
                    return  # it may have been ordered to exit
                await asyncio.sleep(0.02)

    def keep(self) -> None:
        """Starts it again whenever it ends, until `close`."""
        self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            if self._child is not None:
                self.codes.append(await self._child.wait())
                await asyncio.sleep(_AGAIN)
            await self.start()

    def send(self, number: signal.Signals) -> bool:
        """Whether there was a process to send it to."""
        if self.pid is None:
            return False
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.ends.append(End(self._life, time.time(), number))
        os.kill(self.pid, number)
        return True

    async def ended(self) -> int:
        assert self._child is not None
        return await self._child.wait()

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        if self.pid is not None:
            os.kill(self.pid, signal.SIGCONT)
            os.kill(self.pid, signal.SIGTERM)
            try:
                async with asyncio.timeout(20):
                    await self.ended()
            except TimeoutError:
                os.kill(self.pid, signal.SIGKILL)
                await self.ended()
