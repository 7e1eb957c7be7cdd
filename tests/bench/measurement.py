"""Rows of a bench: ours and its floors, measured by turns, and what is published of them.

A figure is published only where the run before it found the same within a quarter.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import frame
from tests.bench.suite import BenchSuite

SAME = 0.25  # by which two runs may differ
CONNECTIONS = 8
_WITHHELD = "withheld"


@dataclass
class Target:
    """One way to serve a path: the processes whose time counts, and the request."""

    name: str
    processes: Sequence[frame.Served]
    request: bytes | Callable[[], bytes]
    port: int = 0  # default: the first of the first process
    statuses: Sequence[int] = (200,)
    before: Callable[[], Awaitable[None]] | None = None  # each round, unmeasured
    servers: Collection[str] = ("postgres", "redis")  # whose time is `backing`
    own: list[float] = field(default_factory=list)  # microseconds a request, by round
    backing: list[float] = field(default_factory=list)

    async def measure(self, suite: BenchSuite, requests: int, *, keep: bool = True) -> None:
        if self.before is not None:
            await self.before()
        own, backing = self._seconds(), suite.backing_seconds(self.servers)
        port = self.port or self.processes[0].port
        await frame.load(port, self.request, requests, CONNECTIONS, statuses=self.statuses)
        if keep:
            self.own.append((self._seconds() - own) / requests * 1e6)
            backing = suite.backing_seconds(self.servers) - backing
            self.backing.append(backing / requests * 1e6)

    def _seconds(self) -> float:
        return sum(process.cpu_seconds() for process in self.processes)

    @property
    def cost(self) -> float:
        return statistics.median(self.own)

    @property
    def backing_cost(self) -> float:
        return statistics.median(self.backing)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        if len(self.own) < 4:
            return 0.0
        first, _, third = statistics.quantiles(self.own, n=4)
        return (third - first) / 2 / self.cost


@dataclass
class Row:
    """A path: ours, what it is measured beside, and what it is to cost (one of three forms)."""

    path: str
    ours: Target
    floors: Sequence[Target] = ()
    aim: float | None = None  # microseconds
    times: float | None = None  # as many times the first floor
    plus: float | None = None  # so many microseconds more than the first floor

    @property
    def targets(self) -> list[Target]:
        return [self.ours, *self.floors]

    @property
    def goal(self) -> float | None:
        if self.times is not None:
            return self.times * self.floors[0].cost
        if self.plus is not None:
            return self.plus + self.floors[0].cost
        return self.aim


async def measure(
    suite: BenchSuite,
    rows: Sequence[Row],
    *,
    rounds: int,
    requests: int,
    progress: Callable[[str], None],
) -> None:
    """By turns, so that what slows the machine slows all: many short rounds beat few long ones."""
    targets = [target for row in rows for target in row.targets]
    for target in targets:
        progress(f"warming up: {target.name}")
        await target.measure(suite, 2 * requests, keep=False)
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        for target in targets:
            await target.measure(suite, requests)


class Published:
    """The figures of this run; `withhold` leaves out what the run before found otherwise."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self.withhold = False
        self._former: dict[str, float] = json.loads(state.read_text()) if state.exists() else {}
        self.found: dict[str, float] = {}

    def show(self, name: str, value: float, form: str = "{:,.0f}") -> str:
        """The figure as text."""
        self.found[name] = value
        former = self._former.get(name)
        is_new = former is None or abs(value - former) > SAME * max(value, former)
        return _WITHHELD if is_new and self.withhold else form.format(value)

    def save(self) -> None:
        self._state.parent.mkdir(exist_ok=True)
        self._state.write_text(json.dumps(self._former | self.found, indent=1))
