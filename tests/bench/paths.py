"""What each path of the suite costs, beside a floor that does the same work.

    make bench ARGS=--quick                                     # two minutes
    make bench ARGS="--into docs/explanation/performance.md"    # what the page says

CPU microseconds a request of the processes that serve it, and of PostgreSQL and Redis (of S3 too
where bytes are stored) behind it; medians of rounds in which ours and the floors take turns. Then
memory, the start, and a long run that looks for leaks. Jobs have a bench of their own
(`make bench-jobs`).

A figure is published only if the run before (`.twelvefold/bench.json`) found the same within a
quarter, so a page takes two runs.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import frame
from tests.bench.measurement import Published, Row, measure
from tests.bench.rows import Bench
from tests.bench.suite import ROOT, open_suite
from tests.tables import put_between, table

STATE = ROOT / ".twelvefold" / "bench.json"
BEGIN, END = "<!-- bench: the last tables -->", "<!-- bench: end -->"


def report(rows: Sequence[Row], published: Published) -> str:
    """The table of paths."""
    lines = []
    for row in rows:
        for target in row.targets:
            key = f"{row.path}: {target.name}"
            is_ours = target is row.ours
            goal = row.goal if is_ours else None
            lines.append(
                (
                    row.path if is_ours else "",
                    target.name,
                    published.show(key, target.cost),
                    f"±{target.spread:.0%}" if target.spread else "",
                    published.show(f"{key}, behind", target.backing_cost),
                    "" if goal is None else f"{goal:,.0f}",
                )
            )
    heads = ("path", "what", "CPU µs", "spread", "behind it", "aim")
    return table(heads, lines)


def processes(
    memory: Mapping[str, float], started: Mapping[str, float], published: Published
) -> str:
    """The table of memory and start."""
    lines = [
        (
            name,
            published.show(f"{name}: MiB", memory[name]),
            published.show(f"{name}: start", started[name], "{:.1f}"),
        )
        for name in memory
    ]
    return table(("process", "PSS, MiB", "ready after, s of CPU"), lines)


def summary(leak: str) -> str:
    """What a reader has to know of the run."""
    day = datetime.now(UTC).date().isoformat()
    return f"({day}; {frame.machine()}. {leak})"


async def main(folder: Path, options: argparse.Namespace) -> tuple[str, str]:
    """Measure, and return the tables for the terminal and for the page."""
    frame.keep_to_load_core()
    published = Published(STATE)
    async with (
        open_suite(folder, accounts=options.requests) as suite,
        AsyncExitStack() as stack,
    ):
        bench = Bench(suite, stack)
        await bench.start()
        rows = [row for row in await bench.rows() if options.only in row.path]
        await measure(
            suite, rows, rounds=options.rounds, requests=options.requests, progress=_progress
        )
        leak = "No long run."
        if options.leak:
            _progress(f"{options.leak:,} reads to find a leak")
            before, after = await bench.leak(options.leak)
            leak = f"{options.leak:,} reads later api had {after:.1f} MiB, before {before:.1f}."
    shown = []
    for published.withhold in (False, True):
        tables = (report(rows, published), processes(bench.memory, bench.started, published))
        shown.append("\n\n".join([*tables, summary(leak)]))
    published.save()
    return shown[0], shown[1]


def _progress(done: str) -> None:
    sys.stderr.write(f"\r{done:60}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.paths", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--requests", type=int, default=300, help="a round")
    parser.add_argument("--only", default="", help="rows whose path holds this")
    parser.add_argument("--leak", type=int, default=200_000, help="reads of the long run")
    parser.add_argument("--quick", action="store_true", help="few rounds, no long run")
    parser.add_argument("--into", type=Path, help="document whose tables are replaced")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.requests, options.leak = 4, 100, 0
    return options


if __name__ == "__main__":
    given = _parse()
    with tempfile.TemporaryDirectory(prefix="twelvefold-bench-") as temporary:
        Path(temporary).chmod(0o755)  # under root PostgreSQL's own user has to enter it
        shown, page = asyncio.run(main(Path(temporary), given))
    sys.stdout.write(f"\n{shown}\n")
    if given.into is not None:
        put_between(given.into, BEGIN, END, page)
