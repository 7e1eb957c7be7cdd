"""`make parity`: the same suites on the laptop's servers, on a distribution's, and on a cluster.

Runs the contract and e2e suites that can be given a URL, on each of the three, and prints one table
(12factor.net/dev-prod-parity). What is not there is reported, and counts as a failure only with
--strict. Owns the comparison; the suites are `tests/contract` and `tests/e2e`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.test_suites import SUITES
from tests.parity.distribution import Programs, running
from tests.running_suite import running_suite
from tests.tables import table

ROOT = Path(__file__).parents[2]
_COUNTS = re.compile(r"(\d+) (passed|failed|skipped|errors?)")
_WITHIN = 1800  # seconds of one suite, on a cluster with its installation


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one suite in one place."""

    counts: Mapping[str, int]
    seconds: float

    @property
    def passed(self) -> int:
        return self.counts.get("passed", 0)

    @property
    def bad(self) -> int:
        return sum(n for what, n in self.counts.items() if what.startswith(("failed", "error")))

    def __str__(self) -> str:
        output = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        return f"{output or 'nothing ran'} ({self.seconds:.0f} s)"


Outcomes = dict[str, Outcome]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    places = {"embedded": _embedded, "distribution": _distribution, "cluster": _cluster}
    parser.add_argument("--only", nargs="+", choices=places, default=list(places))
    parser.add_argument("--strict", action="store_true", help="what is not there is a failure")
    given = parser.parse_args()
    found: dict[str, Outcomes | str] = {}
    for name in given.only:
        _report(f"{name} …")
        found[name] = places[name]()
    print(f"\n{_table(found)}")
    ran = [outcomes for outcomes in found.values() if isinstance(outcomes, dict)]
    alike = all(
        len({outcomes[suite].passed for outcomes in ran}) <= 1
        and not any(outcomes[suite].bad for outcomes in ran)
        for suite in SUITES
    )
    complete = len(ran) == len(found) or not given.strict
    print(f"\n{'the same everywhere' if alike else 'NOT THE SAME EVERYWHERE'}")
    return 0 if alike and complete and ran else 1


def _table(found: Mapping[str, Outcomes | str]) -> str:
    rows = []
    for place, outcomes in found.items():
        if isinstance(outcomes, str):
            cells = [f"not there: {outcomes}", *[""] * (len(SUITES) - 1)]
        else:
            cells = [str(outcomes[suite]) for suite in SUITES]
        rows.append((place, *cells))
    return table(("place", *SUITES), rows)


def _embedded() -> Outcomes | str:
    with tempfile.TemporaryDirectory(prefix="twelvefold-parity-") as folder:
        return _up_and_tested(Path(folder), {})


def _distribution() -> Outcomes | str:
    programs = Programs.find()
    if isinstance(programs, str):
        return programs
    _report(f"  {programs.names}")
    with tempfile.TemporaryDirectory(prefix="twelvefold-parity-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL's own user has to enter it
        with running(programs, Path(folder)) as settings:
            return _up_and_tested(Path(folder), settings)


def _up_and_tested(folder: Path, settings: Mapping[str, str]) -> Outcomes:
    with running_suite(folder / "checkout", **settings) as up:
        return {suite: _tested(paths, f"--base-url={up.url}") for suite, paths in SUITES.items()}


def _tested(paths: list[str], *options: str) -> Outcome:
    _report(f"  {' '.join(paths)}")
    began = time.monotonic()
    done = _pytest(*paths, *options)
    last = done.stdout.strip().splitlines()[-1:] or [done.stderr]
    counts = {what: int(count) for count, what in _COUNTS.findall(last[0])}
    if done.returncode != 0:
        _report(done.stdout[-4000:] + done.stderr[-1000:])
    return Outcome(counts, time.monotonic() - began)


def _pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 (our own suites)
        [sys.executable, "-m", "pytest", "-n", "0", "-q", "--color=no", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_WITHIN,
        check=False,
    )


def _cluster() -> Outcomes | str:
    """On whatever KUBECONFIG names, through its gateway, as `make cluster-test` does it."""
    began = time.monotonic()
    done = _pytest("tests/cluster/test_suites.py")
    verdicts = {
        found[1]: {what: int(count) for count, what in _COUNTS.findall(found[2])}
        for found in re.finditer(r"^suite (\w+)\s+(.*)$", done.stdout, re.MULTILINE)
    }
    if not verdicts:
        skipped = re.search(r"SKIPPED \[\d+\] \S+ (.*)", done.stdout)
        return skipped[1] if skipped else "the cluster's suites did not run"
    if done.returncode != 0:
        _report(done.stdout[-4000:])
    seconds = time.monotonic() - began
    return {suite: Outcome(verdicts.get(suite, {}), seconds) for suite in SUITES}


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
