"""What goes wrong, and when: a plan drawn from a seed, the same in each repetition."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from redis.asyncio import Redis
from tests.chaos.environment import ChaosEnvironment
from tests.suite import SERVICES

# Faults per minute. Five minutes: 50 kill -9 of workers, 20 SIGTERM, 10 FLUSHALL, 10 kills of Redis
# 10 immediate restarts of PostgreSQL, and what else makes a bad day.
PER_MINUTE = {
    "kill -9 of a worker": 10.0,
    "SIGTERM of a worker": 4.0,
    "FLUSHALL": 2.0,
    "kill -9 of Redis": 2.0,
    "immediate restart of PostgreSQL": 2.0,
    "worker stopped past its lease": 0.4,
    "kill -9 of a service": 1.0,
    "connections cut": 2.0,
    "connections slowed": 1.0,
    "connections stalled": 0.6,
}
SLOW = 0.1  # seconds later, for a while
WHILE = 3.0  # seconds


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    at: float  # seconds after the beginning
    what: str


def plan(
    seed: int, seconds: float, *, fury: float = 1.0, only: frozenset[str] | None = None
) -> list[Fault]:
    """The faults of so many seconds, in order; `only` those named."""
    chance = random.Random(seed)  # noqa: S311 (chaos, not secrecy)
    faults = [
        Fault(chance.uniform(0, seconds), what)
        for what, rate in PER_MINUTE.items()
        if only is None or what in only
        for _ in range(round(rate * fury * seconds / 60))
    ]
    return sorted(faults)


@dataclass
class Nemesis:
    """Carries out a plan. `done` counts what was really done."""

    ground: ChaosEnvironment
    lease: float
    seed: int
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed + 1)  # noqa: S311 (chaos, not secrecy)
        # One at a time to each server: they have to come back in between.
        self._servers = {name: asyncio.Lock() for name in ("postgres", "redis")}
        self._acts: dict[str, Callable[[], Awaitable[bool]]] = {
            "kill -9 of a worker": lambda: self._signal_worker(signal.SIGKILL),
            "SIGTERM of a worker": lambda: self._signal_worker(signal.SIGTERM),
            "FLUSHALL": self._flush,
            "kill -9 of Redis": lambda: self._restart("redis", signal.SIGKILL),
            "immediate restart of PostgreSQL": lambda: self._restart("postgres", signal.SIGQUIT),
            "worker stopped past its lease": self._stop_worker,
            "kill -9 of a service": self._kill_service,
            "connections cut": self._cut,
            "connections slowed": self._slow,
            "connections stalled": self._stall,
        }

    async def run(self, faults: list[Fault], report: Callable[[str], None]) -> None:
        """Returns when every fault is over."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
                report(fault.what)
                group.create_task(self._do(fault.what))

    async def _do(self, what: str) -> None:
        if await self._acts[what]():
            self.done[what] += 1

    async def _signal_worker(self, number: signal.Signals) -> bool:
        """Of one that runs; waits for one where all of them start just now."""
        async with asyncio.timeout(60):
            while True:
                if self._chance.choice(self.ground.workers).send(number):
                    return True
                await asyncio.sleep(0.1)

    async def _stop_worker(self) -> bool:
        worker = self._chance.choice(self.ground.workers)
        if not worker.send(signal.SIGSTOP):
            return False
        await asyncio.sleep(self.lease * 1.2)
        worker.send(signal.SIGCONT)
        return True

    async def _kill_service(self) -> bool:
        pids = await self.ground.pids(self._chance.choice(SERVICES))
        if not pids:
            return False
        with suppress(ProcessLookupError):
            os.kill(self._chance.choice(pids), signal.SIGKILL)
        return True

    async def _flush(self) -> bool:
        with suppress(Exception):
            async with Redis.from_url(self.ground.server("redis").url) as redis:
                await redis.flushall()
            return True
        await asyncio.sleep(1.0)  # it was being restarted
        return await self._flush()

    async def _restart(self, name: str, number: signal.Signals) -> bool:
        async with self._servers[name]:
            await self.ground.kill(name, number)
        return True

    async def _cut(self) -> bool:
        self.ground.proxies[self._any_proxy()].drop()
        return True

    async def _slow(self) -> bool:
        proxy = self.ground.proxies[self._any_proxy()]
        proxy.delay = SLOW
        await asyncio.sleep(WHILE)
        proxy.delay = 0.0
        return True

    async def _stall(self) -> bool:
        proxy = self.ground.proxies[self._any_proxy()]
        proxy.hold()
        await asyncio.sleep(WHILE)
        proxy.release()
        return True

    def _any_proxy(self) -> str:
        return self._chance.choice(sorted(self.ground.proxies))
