"""Child processes that end in order, and that never outlive the process that started them.

Owns spawning, signals and exit. Not what a child is (servers, services), nor when it is started
again (the supervisor).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_PR_SET_PDEATHSIG = 1
_POLL = 0.02  # seconds between looks where the kernel cannot tell us
# Loaded before any fork: between fork and exec nothing may be imported or allocated at length.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class SystemUser:
    """A system user that a child runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Launch:
    """What to run. `output` takes stdout and stderr; `pass_fds` keep their numbers."""

    command: Sequence[str | Path]
    environment: Mapping[str, str]
    directory: Path
    output: int | IO[bytes] = subprocess.DEVNULL
    account: SystemUser | None = None
    pass_fds: Sequence[int] = ()
    # Sent by the kernel when the parent dies without having stopped the child.
    orphan_signal: signal.Signals = signal.SIGTERM


class ChildProcess:
    """One running child, in a session of its own: a Ctrl-C in the terminal is ours to handle."""

    def __init__(self, launch: Launch) -> None:
        """Starts it. Raises OSError where the command cannot be run.

        Call it from a thread that lives as long as the child should: the kernel takes the end of
        the starting thread for the death of the parent.
        """
        account = launch.account
        self._popen = subprocess.Popen(
            launch.command,
            env=dict(launch.environment),
            cwd=launch.directory,
            stdin=subprocess.DEVNULL,
            stdout=launch.output,
            stderr=subprocess.STDOUT,
            pass_fds=tuple(launch.pass_fds),
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            # One system call of a library that is loaded: safe beside threads.
            preexec_fn=_die_with_parent(launch.orphan_signal),  # noqa: PLW1509 (as said)
        )
        self.started_at = time.time()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._popen.poll()

    @property
    def is_alive(self) -> bool:
        return self.returncode is None

    async def wait(self) -> int:
        """Returns its exit code once it has ended."""
        await process_end(self.pid, lambda: not self.is_alive)
        return self._popen.wait()

    async def stop(self, signals: Sequence[tuple[signal.Signals, float]]) -> int:
        """Sends each signal in turn, with so many seconds for it, at last SIGKILL to the group."""
        for number, grace in signals:
            if not self.is_alive:
                break
            self.send(number)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.wait(), grace)
        # Also after an orderly end: nothing that it started may stay behind.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return await self.wait()

    def send(self, number: signal.Signals) -> None:
        # Popen does not signal what it has already reaped, whose pid may be another's by now.
        self._popen.send_signal(number)


async def process_end(pid: int, has_ended: Callable[[], bool]) -> None:
    """Returns when the process has ended: by its pidfd, or by looking where there is none."""
    try:
        descriptor = os.pidfd_open(pid) if sys.platform == "linux" else None
    except ProcessLookupError:
        return
    except OSError:
        descriptor = None
    if descriptor is None:
        while not has_ended():  # noqa: ASYNC110 (it happens in another process)
            await asyncio.sleep(_POLL)
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    if _LIBC is None:
        return None
    libc, parent = _LIBC, os.getpid()

    def before_exec() -> None:
        # Runs after the change of user, which would clear the setting.
        libc.prctl(_PR_SET_PDEATHSIG, number.value)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. `pss` counts a page that n processes share as one n-th (Linux only, else None)."""

    rss: int
    pss: int | None = field(default=None)


def memory_of(pid: int) -> Memory | None:
    """Of the process and its descendants; None where it is gone or not ours to look at."""
    import psutil

    try:
        root = psutil.Process(pid)
        return _sum([root, *root.children(recursive=True)])
    except psutil.Error:
        return None


def own_memory() -> Memory:
    """Of this process alone."""
    import psutil

    return _sum([psutil.Process()])


def _sum(processes: Sequence[psutil.Process]) -> Memory:
    rss = sum(process.memory_info().rss for process in processes)
    try:
        return Memory(rss, sum(_pss(process.pid) for process in processes))
    except OSError:
        return Memory(rss)


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
