"""A short fault scenario in every run of the tests; the long one is `make chaos`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.chaos.environment import open_environment
from tests.chaos.nemesis import PER_MINUTE, plan
from tests.chaos.scenario import Terms, run

# What is over at once: the others last for as long as a lease, or need the whole suite.
BRIEF = frozenset(
    {
        "kill -9 of a worker",
        "SIGTERM of a worker",
        "FLUSHALL",
        "kill -9 of Redis",
        "immediate restart of PostgreSQL",
        "connections cut",
    }
)


def test_a_seed_decides_every_fault_and_its_time():
    assert plan(1, 300) == plan(1, 300)
    assert plan(1, 300) != plan(2, 300)
    whole = [fault.what for fault in plan(1, 300)]
    assert whole.count("kill -9 of a worker") == 50
    assert whole.count("FLUSHALL") == 10
    assert {fault.what for fault in plan(1, 300)} == set(PER_MINUTE)


@pytest.mark.timeout(300)
async def test_under_faults_no_accepted_job_is_lost_and_no_effect_happens_twice(
    tmp_path: Path,
):
    terms = Terms(seconds=15, jobs=300, people=0, seed=7, lease=2.0, fury=3.0, only=BRIEF)
    async with open_environment(tmp_path / "ground", workers=2, lease=terms.lease) as environment:
        report = await run(environment, terms, lambda _: None)
    assert set(report.faults) == BRIEF
    assert report.unfinished == 0
    jobs = report.verdicts["jobs"]
    assert jobs.accepted > 50, "too few jobs were accepted for the scenario to say anything"
    assert jobs.holds, jobs
