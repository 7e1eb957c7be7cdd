"""Supervised processes: started again when they end, ended for good when asked."""

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
from twelvefold_dev.supervisor import supervised
from twelvefold_dev.supervisor.orphan_processes import noted, terminate_orphans
from twelvefold_dev.supervisor.supervised import SupervisedProcess, SupervisionState
from twelvefold_dev.system.child_process import Launch
from twelvefold_dev.terminal.logs import LogFile, LogPipe

SERVES = "open('ready', 'w').close(); print('serving', flush=True); time.sleep(600)"
DEAF = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {SERVES}"
WITH_CHILD = f"print(subprocess.Popen(['sleep', '600']).pid, flush=True); {SERVES}"
FAILS_LATER = f"os.path.exists('failing') and sys.exit(3); {SERVES}"
FAILS = "print('no reason', flush=True); sys.exit(3)"


class Script(EmbeddedServer):
    """A few words of Python as a server."""

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


class Kept:
    """One supervised script, what was said of it and what it wrote."""

    def __init__(self, directory: Path, code: str) -> None:
        self.said: list[str] = []
        self.directory = directory / "script"
        self.pipe = LogPipe("script", LogFile(directory / "script.log"), lambda *_: None)
        self.process = SupervisedProcess(Script(self.directory, code), self.pipe, self.said.append)

    @property
    def pid(self) -> int | None:
        return self.process.server.pid


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch) -> None:
    monkeypatch.setattr(supervised, "_FIRST_PAUSE", 0.05)


@pytest.fixture
async def keep(tmp_path) -> AsyncIterator[Callable[[str], Kept]]:
    kept: list[Kept] = []

    def create(code: str) -> Kept:
        kept.append(Kept(tmp_path, code))
        return kept[-1]

    yield create
    for one in kept:
        await one.process.stop()
        one.pipe.close()


async def test_a_killed_process_is_started_again(keep) -> None:
    kept = keep(SERVES)
    await kept.process.start()
    first = kept.pid

    os.kill(first, signal.SIGKILL)

    await until(
        lambda: kept.pid not in (None, first) and kept.process.state is SupervisionState.RUNNING
    )
    assert kept.process.restarts == 1
    assert any("ended with code -9" in text for text in kept.said)


async def test_a_process_that_keeps_failing_is_tried_with_growing_pauses(keep) -> None:
    kept = keep(FAILS_LATER)
    await kept.process.start()
    (kept.directory / "failing").touch()

    os.kill(kept.pid, signal.SIGKILL)

    await until(lambda: kept.process.restarts >= 4)
    (kept.directory / "failing").unlink()
    await until(lambda: kept.process.state is SupervisionState.RUNNING)
    assert sum("ended at its start with code 3" in text for text in kept.said) >= 3


async def test_a_restart_does_not_wait_for_the_end_of_a_pause(keep, monkeypatch) -> None:
    monkeypatch.setattr(supervised, "_FIRST_PAUSE", 600)
    kept = keep(SERVES)
    await kept.process.start()
    os.kill(kept.pid, signal.SIGKILL)
    await until(lambda: kept.process.state is SupervisionState.BACKING_OFF)

    kept.process.restart()

    await asyncio.wait_for(kept.process.wait_until_up(), 10)


async def test_a_first_start_that_fails_says_so_and_keeps_the_last_words(keep) -> None:
    kept = keep(FAILS)
    await kept.pipe.open()
    with pytest.raises(ServerFailed, match="script ended at its start with code 3"):
        await kept.process.start()
    await until(lambda: list(kept.pipe.tail) == ["no reason"])


async def test_a_process_deaf_to_sigterm_is_killed(keep) -> None:
    kept = keep(DEAF)
    await kept.process.start()
    process = psutil.Process(kept.pid)

    await asyncio.wait_for(kept.process.stop(), 5)

    assert not process.is_running()


async def test_what_a_process_started_ends_with_it(keep) -> None:
    kept = keep(WITH_CHILD)
    await kept.pipe.open()
    await kept.process.start()
    await until(lambda: len(kept.pipe.tail) == 2)
    child = psutil.Process(int(kept.pipe.tail[0]))

    await kept.process.stop()

    await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


async def test_a_stop_while_it_starts_leaves_nothing(keep) -> None:
    kept = keep("time.sleep(600)")
    starting = asyncio.create_task(kept.process.start())
    await until(lambda: kept.pid)
    process = psutil.Process(kept.pid)

    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert not process.is_running()


async def test_the_next_start_ends_what_an_earlier_one_left(keep, tmp_path) -> None:
    kept = keep(SERVES)
    kept.process.server.pid_file = tmp_path / "script.pid"
    await kept.process.start()
    assert [process.pid for process in noted(tmp_path)] == [kept.pid]

    ended = await asyncio.to_thread(terminate_orphans, tmp_path)

    assert ended == 1
    assert noted(tmp_path) == []


def test_a_pid_that_is_another_process_s_by_now_is_left_alone(tmp_path) -> None:
    (tmp_path / "script.pid").write_text(f"{os.getpid()} 12345.0\n")
    assert terminate_orphans(tmp_path) == 0
