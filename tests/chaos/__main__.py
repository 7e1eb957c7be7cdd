"""`make chaos`: breaks the suite in every way that we know, and prints the results.

    python -m tests.chaos --seed 1 --minutes 5
    python -m tests.chaos --only scenario --minutes 1

Owns the choice of experiments and the table. Each experiment says whether its promise held; the
exit code is 1 where one did not.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from tests.chaos import scenario
from tests.chaos.environment import ChaosEnvironment, open_environment
from tests.chaos.network_faults import ended_connections, replaced_processes, without_redis
from tests.chaos.overload import overload
from tests.chaos.surge import Surge
from tests.chaos.suspended_workers import wake_late
from tests.suite import SERVICES
from tests.tables import put_between, table

Log = Callable[[str], None]
_BEGIN, _END = "<!-- chaos: the last table -->", "<!-- chaos: end -->"


@dataclass
class Result:
    """Of one experiment: the lines of its table, and whether the promise held."""

    holds: bool
    rows: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Options:
    seed: int
    minutes: float
    folder: Path


async def _run_scenario(options: Options, log: Log) -> Result:
    seconds = options.minutes * 60
    terms = scenario.Terms(
        seconds=seconds, jobs=round(2100 * options.minutes), people=8, seed=options.seed
    )
    scale = dict.fromkeys(SERVICES, "2")
    async with open_environment(options.folder / "scenario", workers=3, suite=scale) as environment:
        report = await scenario.run(environment, terms, log)
    faults = ", ".join(f"{count} x {what}" for what, count in sorted(report.faults.items()))
    rows = [("faults", faults), *report.rows]
    if report.unfinished:
        rows.append(("not as it should be", str(report.unfinished)))
    return Result(report.holds, rows)


async def _run_suspended_workers(options: Options, log: Log) -> Result:
    async with open_environment(options.folder / "suspended-workers", workers=0) as environment:
        tried, accepted, effects = await wake_late(environment, 100, log)
    rows = [("late completions tried, accepted", f"{tried}, {accepted}"), ("effects", str(effects))]
    return Result(accepted == 0 and effects == tried, rows)


async def _overload(options: Options, log: Log) -> Result:
    folder = options.folder / "overload"
    async with open_environment(folder, workers=0, suite={}, proxied=False) as environment:
        return Result(*await overload(environment, max(3, _in_all(options, 10)), log))


async def _surge(options: Options, log: Log) -> Result:
    settings = {"OTEL_TRACES_SAMPLER_ARG": "0.1"}  # as where it is deployed
    folder = options.folder / "surge"
    async with open_environment(folder, workers=0, suite={}, settings=settings) as environment:
        return Result(*await Surge(environment, max(3, _in_all(options, 5)), log).run())


def _run_network_faults(
    name: str, act: Callable[[ChaosEnvironment, Options, Log], Awaitable[scenario.Report]]
) -> Callable[[Options, Log], Awaitable[Result]]:
    """An experiment on a suite that people live on."""

    async def run(options: Options, log: Log) -> Result:
        async with open_environment(options.folder / name, workers=0, suite={}) as environment:
            report = await act(environment, options, log)
        return Result(report.holds, report.rows)

    return run


def _in_all(options: Options, count: int) -> int:
    """The promised count from two minutes on; a share of it in a shorter run."""
    return max(1, round(count * min(1.0, options.minutes / 2)))


EXPERIMENTS: dict[str, Callable[[Options, Log], Awaitable[Result]]] = {
    "scenario": _run_scenario,
    "suspended-workers": _run_suspended_workers,
    "redis-unavailable": _run_network_faults(
        "redis-unavailable", lambda g, o, t: without_redis(g, _in_all(o, 120), t)
    ),
    "ended-connections": _run_network_faults(
        "ended-connections", lambda g, o, t: ended_connections(g, _in_all(o, 500), t)
    ),
    "overload": _overload,
    "surge": _surge,
    "replaced": _run_network_faults(
        "replaced", lambda g, o, t: replaced_processes(g, _in_all(o, 20), t)
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the faults and their times")
    parser.add_argument("--minutes", type=float, default=5, help="length of the fault scenario")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--keep", type=Path, help="folder for histories and logs")
    parser.add_argument("--into", type=Path, help="document whose table is replaced")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="twelvefold-chaos-") as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # under root PostgreSQL's own user has to enter it
        options = Options(given.seed, given.minutes, folder)
        results = {name: asyncio.run(_run(name, options)) for name in given.only}
    shown = _table(results, options)
    print(f"\n{shown}")
    if given.into is not None:
        put_between(given.into, _BEGIN, _END, shown)
    return 0 if all(result.holds for result in results.values()) else 1


async def _run(name: str, options: Options) -> Result:
    began = time.monotonic()

    def log(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {name}: {text}", file=sys.stderr, flush=True)

    log("begins")
    return await EXPERIMENTS[name](options, log)


def _table(results: dict[str, Result], options: Options) -> str:
    """As Markdown."""
    lines = []
    for name, result in results.items():
        verdict = f"**{name}**: {'holds' if result.holds else 'DOES NOT HOLD'}"
        for what, output in result.rows:
            lines.append((verdict, what, output))
            verdict = ""
    machine = f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the end"
    given = f"--seed {options.seed} --minutes {options.minutes:g}"
    shown = table(("experiment", "measurement", "result"), lines)
    return f'{shown}\n\n`make chaos ARGS="{given}"` on {machine}.'


if __name__ == "__main__":
    sys.exit(main())
