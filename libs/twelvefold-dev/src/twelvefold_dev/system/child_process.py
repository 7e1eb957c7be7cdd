"""Child processes that stop in order and never outlive the process that started them.

Owns spawning, signals and exit. The `servers` and the supervisor decide what a child runs and when
it is started again.
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
_POLL_INTERVAL = 0.02  # seconds, where the kernel offers no notification
# Loaded before any fork: code between fork and exec must neither import nor allocate much.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class SystemUser:
    """The system user that a child runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Launch:
    """A command to run. `output` receives stdout and stderr; `pass_fds` keep their numbers."""

    command: Sequence[str | Path]
    environment: Mapping[str, str]
    directory: Path
    output: int | IO[bytes] = subprocess.DEVNULL
    account: SystemUser | None = None
    pass_fds: Sequence[int] = ()
    # The signal that the kernel sends when the parent dies without having stopped the child.
    orphan_signal: signal.Signals = signal.SIGTERM


class ChildProcess:
    """One running child in its own session, so that Ctrl-C reaches only the parent."""

    def __init__(self, launch: Launch) -> None:
        """Start the child. Raises OSError where the command cannot be run.

        The calling thread must live as long as the child: the kernel sends `orphan_signal` when
        that thread ends (PR_SET_PDEATHSIG in prctl(2)).
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
            # One system call of a library that is already loaded, so it is safe with threads.
            preexec_fn=_die_with_parent(launch.orphan_signal),  # noqa: PLW1509 (see above)
        )
        self.started_at = time.time()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, None while it runs, or the negative number of the signal that ended it."""
        return self._popen.poll()

    @property
    def is_alive(self) -> bool:
        return self.returncode is None

    async def wait(self) -> int:
        """Wait until the child ended and return its exit code."""
        await wait_for_exit(self.pid, lambda: not self.is_alive)
        return self._popen.wait()

    async def stop(self, signals: Sequence[tuple[signal.Signals, float]]) -> int:
        """Send each signal and wait its number of seconds, then send SIGKILL to the group.

        Return the exit code.
        """
        for number, grace in signals:
            if not self.is_alive:
                break
            self.send(number)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.wait(), grace)
        # Also after an orderly exit: none of its own children may remain.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return await self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send one signal. Does nothing once the child has ended."""
        # Popen never signals a reaped child, whose pid another process may have by now.
        self._popen.send_signal(number)


async def wait_for_exit(pid: int, has_ended: Callable[[], bool]) -> None:
    """Wait until the process ended, by its pidfd or, where there is none, by polling."""
    try:
        descriptor = os.pidfd_open(pid) if sys.platform == "linux" else None
    except ProcessLookupError:
        return
    except OSError:
        descriptor = None
    if descriptor is None:
        while not has_ended():  # noqa: ASYNC110 (the event happens in another process)
            await asyncio.sleep(_POLL_INTERVAL)
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
        # Runs after the change of user, since that change clears the setting.
        libc.prctl(_PR_SET_PDEATHSIG, number.value)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in memory. `pss` counts a page shared by n processes as 1/n (Linux only, else None)."""

    rss: int
    pss: int | None = field(default=None)


def measure_memory(pid: int) -> Memory | None:
    """Return the memory of a process and its descendants.

    None where the process has ended or may not be inspected.
    """
    import psutil

    try:
        root = psutil.Process(pid)
        return _sum([root, *root.children(recursive=True)])
    except psutil.Error:
        return None


def measure_own_memory() -> Memory:
    """Return the memory of this process without its children."""
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
