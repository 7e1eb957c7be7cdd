"""A reload replaces what it can, keeps the rest, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from twelvefold_dev.servers.server import ServerFailed
from twelvefold_dev.supervisor.reload.reloader import Reloader
from twelvefold_dev.supervisor.reload.source_watcher import SourceChange
from twelvefold_dev.supervisor.reload.start_files import StartFiles


class Changes:
    """Changes that a test makes, in place of files on the disk."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[SourceChange] = asyncio.Queue()

    async def changes(self) -> AsyncIterator[SourceChange]:
        while True:
            yield await self.queue.get()

    async def change(self, *services: str, **more: Any) -> None:
        await self.queue.put(SourceChange(frozenset(services), False, "a.py", **more))


class Replacements:
    """The replaced services. `broken` do not start, `slow` wait until `released`."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.broken: set[str] = set()
        self.slow: set[str] = set()
        self.started = asyncio.Event()
        self.released = asyncio.Event()
        self.changed = asyncio.Condition()

    async def replace(self, service: str) -> None:
        self.started.set()
        if service in self.slow:
            await self.released.wait()
        if service in self.broken:
            error = ServerFailed(f"{service}.1", "ended during start with code 1")
            error.add_note("SyntaxError: invalid syntax")
            raise error
        async with self.changed:
            self.done.append(service)
            self.changed.notify_all()

    async def until(self, *services: str) -> None:
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(lambda: self.done == list(services))


class Bench:
    def __init__(self, root: Path) -> None:
        self.sources, self.replacements = Changes(), Replacements()
        self.reports: list[str] = []
        self.failures: dict[str, str] = {}
        self.reloader = Reloader(
            self.sources,  # type: ignore[arg-type]  # stands in for Sources
            StartFiles(root, []),
            migrate=self._migrate,
            replace=self.replacements.replace,
            report=self.reports.append,
            failures=self.failures,
        )

    async def _migrate(self) -> None:
        return None


@pytest.fixture
async def bench(tmp_path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    running = asyncio.create_task(bench.reloader.run())
    yield bench
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_broken_service_is_reported_with_its_error_and_the_others_reload(bench) -> None:
    bench.replacements.broken = {"api"}
    await bench.sources.change("api", "users")
    await bench.replacements.until("users")
    assert bench.failures == {
        "api": "api was not reloaded: api.1 ended during start with code 1; the old process stays\n"
        "SyntaxError: invalid syntax"
    }
    assert any("api was not reloaded" in report for report in bench.reports)


async def test_a_repaired_service_is_no_longer_reported(bench) -> None:
    bench.failures["api"] = "api was not reloaded"
    await bench.sources.change("api")
    await bench.replacements.until("api")
    await asyncio.sleep(0)
    assert bench.failures == {}


async def test_a_failure_with_new_settings_names_a_new_start(bench) -> None:
    bench.replacements.broken = {"api"}
    await bench.sources.change("api", "users", settings=True)
    await bench.replacements.until("users")
    assert "a new start of the stack passes new variables" in bench.failures["api"]


async def test_a_newer_change_does_not_wait_for_a_reload_that_hangs(bench) -> None:
    bench.replacements.slow = {"api"}
    await bench.sources.change("api")
    await bench.replacements.started.wait()
    bench.replacements.slow = set()
    await bench.sources.change("users")
    await bench.replacements.until("api", "users")
