"""Supervised processes: restarted when they end, stopped for good on request."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO

import psutil
import pytest

from twelvefold_dev.servers.server import EmbeddedServer, ServerFailed
from twelvefold_dev.supervisor.orphan_processes import find_recorded, terminate_orphans
from twelvefold_dev.supervisor.supervised import SupervisedProcess, SupervisionState
from twelvefold_dev.system.child_process import Launch
from twelvefold_dev.terminal.logs import LogFile, LogPipe

SERVES = "open('ready', 'w').close(); print('serving', flush=True); time.sleep(600)"
IGNORES_SIGTERM = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {SERVES}"
WITH_CHILD = f"print(subprocess.Popen(['sleep', '600']).pid, flush=True); {SERVES}"
FAILS_LATER = f"os.path.exists('failing') and sys.exit(3); {SERVES}"
FAILS = "print('no reason', flush=True); sys.exit(3)"


class Script(EmbeddedServer):
    """A line of Python as a server."""

    name = "script"
    url = ""
    stop_signals = ((signal.SIGTERM, 0.3),)

    def __init__(self, directory: Path, code: str) -> None:
        super().__init__(directory)
        self.code = code

    async def prepare(self) -> None:
        await super().prepare()
        (self.directory / "ready").unlink(missing_ok=True)

    def launch(self, output: int | IO[bytes]) -> Launch:
        code = f"import os, signal, subprocess, sys, time; {self.code}"
        return Launch([sys.executable, "-c", code], {}, self.directory, output)

    async def is_ready(self) -> bool:
        return (self.directory / "ready").exists()


class SupervisedScript:
    """One supervised script, the reports about it and its output."""

    def __init__(self, directory: Path, code: str, min_restart_delay: float) -> None:
        self.reports: list[str] = []
        self.directory = directory / "script"
        self.pipe = LogPipe("script", LogFile(directory / "script.log"), lambda *_: None)
        self.process = SupervisedProcess(
            Script(self.directory, code), self.pipe, self.reports.append, min_restart_delay
        )

    @property
    def pid(self) -> int | None:
        return self.process.server.pid


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        await asyncio.sleep(0.01)


@pytest.fixture
async def supervise(tmp_path) -> AsyncIterator[Callable[..., SupervisedScript]]:
    scripts: list[SupervisedScript] = []

    def create(code: str, min_restart_delay: float = 0.05) -> SupervisedScript:
        scripts.append(SupervisedScript(tmp_path, code, min_restart_delay))
        return scripts[-1]

    yield create
    for script in scripts:
        await script.process.stop()
        script.pipe.close()


async def test_a_killed_process_is_started_again(supervise) -> None:
    script = supervise(SERVES)
    await script.process.start()
    first = script.pid

    os.kill(first, signal.SIGKILL)

    await until(
        lambda: script.pid not in (None, first) and script.process.state is SupervisionState.RUNNING
    )
    assert script.process.restarts == 1
    assert any("ended with code -9" in text for text in script.reports)


async def test_a_process_that_keeps_failing_is_restarted_with_growing_delays(supervise) -> None:
    script = supervise(FAILS_LATER)
    await script.process.start()
    (script.directory / "failing").touch()

    os.kill(script.pid, signal.SIGKILL)

    await until(lambda: script.process.restarts >= 4)
    (script.directory / "failing").unlink()
    await until(lambda: script.process.state is SupervisionState.RUNNING)
    assert sum("ended during start with code 3" in text for text in script.reports) >= 3


async def test_a_requested_restart_does_not_wait_for_the_delay(supervise) -> None:
    script = supervise(SERVES, min_restart_delay=600)
    await script.process.start()
    os.kill(script.pid, signal.SIGKILL)
    await until(lambda: script.process.state is SupervisionState.BACKING_OFF)

    script.process.restart()

    await asyncio.wait_for(script.process.wait_until_up(), 10)


async def test_a_failed_first_start_raises_and_keeps_the_last_lines(supervise) -> None:
    script = supervise(FAILS)
    await script.pipe.open()
    with pytest.raises(ServerFailed, match="script ended during start with code 3"):
        await script.process.start()
    await until(lambda: list(script.pipe.tail) == ["no reason"])


async def test_a_process_that_ignores_sigterm_is_killed(supervise) -> None:
    script = supervise(IGNORES_SIGTERM)
    await script.process.start()
    process = psutil.Process(script.pid)

    await asyncio.wait_for(script.process.stop(), 5)

    assert not process.is_running()


async def test_children_of_a_process_end_with_it(supervise) -> None:
    script = supervise(WITH_CHILD)
    await script.pipe.open()
    await script.process.start()
    await until(lambda: len(script.pipe.tail) == 2)
    child = psutil.Process(int(script.pipe.tail[0]))

    await script.process.stop()

    await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


async def test_a_start_that_is_cancelled_leaves_no_process(supervise) -> None:
    script = supervise("time.sleep(600)")
    starting = asyncio.create_task(script.process.start())
    await until(lambda: script.pid)
    process = psutil.Process(script.pid)

    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert not process.is_running()


async def test_the_next_start_terminates_orphans(supervise, tmp_path) -> None:
    script = supervise(SERVES)
    script.process.server.pid_file = tmp_path / "script.pid"
    await script.process.start()
    assert [process.pid for process in find_recorded(tmp_path)] == [script.pid]

    ended = await asyncio.to_thread(terminate_orphans, tmp_path)

    assert ended == 1
    assert find_recorded(tmp_path) == []


def test_a_pid_reused_by_another_process_is_not_terminated(tmp_path) -> None:
    (tmp_path / "script.pid").write_text(f"{os.getpid()} 12345.0\n")
    assert terminate_orphans(tmp_path) == 0


async def test_a_halted_process_stays_stopped_until_it_is_started(supervise) -> None:
    script = supervise(SERVES)
    await script.process.start()

    await script.process.halt()

    assert script.pid is None
    assert (script.process.state, script.process.is_halted) == (SupervisionState.STOPPED, True)
    waiting = asyncio.create_task(script.process.wait_until_up())
    script.process.restart()  # nothing supervises it
    await asyncio.sleep(0)
    assert not waiting.done()
    await script.process.start()
    await asyncio.wait_for(waiting, 10)
    assert script.process.state is SupervisionState.RUNNING
    # It is supervised again.
    first = script.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: script.pid not in (None, first))
