"""The order of a rollout's steps, in memory. On a real one: tests/cluster/test_rollout.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.fakes.cluster import Conduct, FakeCluster, Killed

from twelvefold_ops.rollout.canary_analysis import AnalysisLimits
from twelvefold_ops.rollout.engine import Rollout, RolloutResult
from twelvefold_ops.rollout.model import (
    Event,
    Options,
    RolloutIncomplete,
    RolloutOutcome,
    RolloutRefused,
    Target,
)

QUICK = Options(
    window=0.0,
    patience=0.05,
    settle=0.0,
    interval=0.0,
    placed_within=0.05,
    limits=AnalysisLimits(requests=100),
)
OLD, NEW = "2026.11.01-old", "2026.11.02-new"
Tell = Callable[[Event], None]


def target(service: str = "api", tag: str = NEW) -> Target:
    values = {"image": {"tag": tag}, "autoscaling": {"minReplicas": 3}}
    return Target(service, f"version {tag}", values)


def a_cluster(service: str = "api", **conduct: Any) -> FakeCluster:
    """A service's old version, and how the new one will behave."""
    cluster = FakeCluster(conduct={NEW: Conduct(**conduct)})
    cluster.start(service, OLD, routing=service != "worker")
    return cluster


def rollout(
    cluster: FakeCluster,
    to: Target | None = None,
    options: Options = QUICK,
    report: Tell | None = None,
) -> Rollout:
    return Rollout(cluster, to or target(), options, report or (lambda _: None))


async def run(cluster: FakeCluster, *arguments: Any) -> RolloutResult:
    return await rollout(cluster, *arguments).run()


async def test_a_good_version_gets_more_and_more_and_then_becomes_the_primary() -> None:
    cluster = a_cluster()
    before = cluster.deployed["api-routing"]

    ended = await run(cluster)

    assert ended.outcome is RolloutOutcome.PROMOTED
    assert cluster.weights == [0, 5, 25, 50, 100, 0, None]
    assert cluster.deployed == {"api": target().values, "api-routing": before}


async def test_blue_green_leads_everybody_there_at_once() -> None:
    cluster = a_cluster()
    options = Options(steps=(100,), window=0.0, settle=0.0, interval=0.0)

    await run(cluster, None, options)

    assert cluster.weights == [0, 100, 0, None]


async def test_the_second_release_has_the_pods_that_its_share_takes() -> None:
    cluster = a_cluster()
    seen: list[tuple[int | None, int]] = []

    def tell(event: Event) -> None:
        if event.kind == "figures":
            seen.append((event.facts["weight"], pods(cluster, "api-canary")))

    await run(cluster, None, QUICK, tell)

    assert dict(seen) == {5: 1, 25: 1, 50: 2, 100: 3}


def pods(cluster: FakeCluster, release: str) -> int:
    found: int = cluster.live[release]["autoscaling"]["minReplicas"]
    return found


@pytest.mark.parametrize(
    ("conduct", "why"),
    [
        ({"errors": 0.05}, "answered 5xx"),
        ({"slow": 0.2}, "slower than 500 ms"),
        ({"pulls": False}, "api-canary-migrate does not start (ImagePullBackOff)"),
        ({"starts": False}, "does not start"),
        ({"ready": False}, "not ready"),
        ({"crashes": True}, "crashed"),
        ({"passes_test": False}, "its own test failed"),
        ({"kinds": frozenset({"email.send", "image.blur"})}, "roll out worker first"),
    ],
)
async def test_a_bad_version_goes_and_everything_is_as_before(
    conduct: dict[str, Any], why: str
) -> None:
    cluster = a_cluster(**conduct)
    before = cluster.deployed

    ended = await run(cluster)

    assert ended.outcome is RolloutOutcome.UNDONE
    assert why in ended.why
    assert cluster.deployed == before


async def test_a_bad_version_gets_no_more_than_the_first_share() -> None:
    cluster = a_cluster(errors=0.05)

    await run(cluster)

    assert cluster.weights == [0, 5, 0]


async def test_a_check_of_the_user_decides_while_nobody_else_is_led_there() -> None:
    cluster = a_cluster()

    ended = await run(cluster, None, Options(check="exit 3", settle=0.0))

    assert ended == RolloutResult(RolloutOutcome.UNDONE, "the check ended with 3: exit 3")
    assert cluster.weights == [0]


async def test_a_check_that_does_not_end_is_ended_with_what_it_started(tmp_path: Path) -> None:
    cluster = a_cluster()
    hangs = f"sleep 300 & echo $! > {tmp_path}/pid; wait"

    ended = await run(cluster, None, Options(check=hangs, patience=0.5, settle=0.0))

    assert ended.outcome is RolloutOutcome.UNDONE
    assert "had not ended after" in ended.why
    child = int((tmp_path / "pid").read_text())
    async with asyncio.timeout(10):
        while psutil.pid_exists(child):
            await asyncio.sleep(0.02)


async def test_what_the_old_version_does_itself_is_not_held_against_the_new_one() -> None:
    cluster = a_cluster(errors=0.05, slow=0.5)
    cluster.conduct[OLD] = Conduct(errors=0.05, slow=0.5)

    assert (await run(cluster)).outcome is RolloutOutcome.PROMOTED


async def test_without_requests_there_is_no_verdict_and_it_goes_back() -> None:
    cluster = a_cluster()
    cluster.requests_per_look = 0

    ended = await run(cluster)

    assert ended.outcome is RolloutOutcome.UNDONE
    assert "no verdict" in ended.why
    assert "--min-requests" in ended.why


async def test_the_worker_is_judged_by_its_jobs_and_routes_nothing() -> None:
    cluster = a_cluster("worker", errors=0.05)

    ended = await run(cluster, target("worker"))

    assert ended.outcome is RolloutOutcome.UNDONE
    assert "runs of jobs failed" in ended.why
    assert cluster.weights == []


async def test_a_version_that_runs_already_is_left_alone() -> None:
    cluster = a_cluster()
    await run(cluster)
    done = len(cluster.operations)

    ended = await run(cluster)

    assert ended.outcome is RolloutOutcome.UNCHANGED
    assert len(cluster.operations) == done


async def test_the_first_installation_is_plain() -> None:
    cluster = FakeCluster()

    ended = await run(cluster)

    assert ended.outcome is RolloutOutcome.PROMOTED
    assert set(cluster.deployed) == {"api"}


async def test_a_first_installation_that_does_not_start_goes_again() -> None:
    cluster = FakeCluster(conduct={NEW: Conduct(starts=False)})

    ended = await run(cluster)

    assert ended.outcome is RolloutOutcome.UNDONE
    assert cluster.deployed == {}


async def test_another_target_is_refused_while_a_rollout_is_under_way() -> None:
    cluster = a_cluster()
    cluster.kill_at = 4
    with pytest.raises(Killed):
        await run(cluster)
    before = cluster.deployed

    with pytest.raises(RolloutRefused, match="to something else is under way"):
        await run(cluster, target(tag="2026.11.03-other"))

    assert cluster.deployed == before


async def test_a_second_release_that_no_rollout_made_is_left_alone() -> None:
    cluster = a_cluster()
    await cluster.upgrade("api-canary", target())

    with pytest.raises(RolloutRefused, match="no rollout made it"):
        await run(cluster)


async def test_what_helm_does_for_somebody_else_is_left_alone() -> None:
    cluster = a_cluster()
    cluster.history["api"][-1].status = "pending-upgrade"

    with pytest.raises(RolloutRefused, match="Helm is at work on api"):
        await run(cluster)


async def test_abort_goes_back_and_says_so_where_there_is_nothing() -> None:
    cluster = a_cluster()
    before = cluster.deployed
    assert (await rollout(cluster).abort()).outcome is RolloutOutcome.UNCHANGED
    cluster.kill_at = 5
    with pytest.raises(Killed):
        await run(cluster)

    ended = await rollout(cluster).abort()

    assert ended.outcome is RolloutOutcome.UNDONE
    assert cluster.deployed == before


@pytest.mark.parametrize("weight", [5, 25, 50, 100])
async def test_calling_it_off_goes_back(weight: int) -> None:
    cluster = a_cluster()
    before = cluster.deployed

    def tell(event: Event) -> None:
        if event.kind == "figures" and event.facts["weight"] == weight:
            task.cancel()

    task = asyncio.create_task(run(cluster, None, QUICK, tell))

    assert (await task) == RolloutResult(RolloutOutcome.UNDONE, "called off")
    assert cluster.deployed == before


async def test_where_going_back_fails_it_says_how_to_go_on_and_the_next_run_does() -> None:
    cluster = a_cluster(errors=0.05)
    before = cluster.deployed
    cluster.refuses = lambda what: what == "rollback api-routing"

    with pytest.raises(RolloutIncomplete, match="Repeat the command"):
        await run(cluster)

    cluster.refuses = lambda _: False
    ended = await run(cluster)
    assert ended.outcome is RolloutOutcome.UNDONE
    assert cluster.deployed == before


def killings(cluster: FakeCluster, service: str = "api") -> list[tuple[int, bool]]:
    """Every operation of a whole run, each before it took effect and half way."""
    tried = deepcopy(cluster)
    asyncio.run(run(tried, target(service)))
    return [(at, half) for at in range(1, len(tried.operations) + 1) for half in (False, True)]


@pytest.mark.parametrize("service", ["api", "worker"])
@pytest.mark.parametrize("conduct", [{}, {"errors": 0.05}, {"ready": False}])
@pytest.mark.parametrize("then", ["again", "abort", "killed once more"])
def test_killed_anywhere_a_second_run_ends_in_the_old_state_or_the_new_one(
    service: str, conduct: dict[str, Any], then: str
) -> None:
    """Every operation, before and half way through it; never in between."""
    start = a_cluster(service, **conduct)
    old = start.deployed
    new = {**old, service: target(service).values}
    killed_at = killings(start, service)
    assert len(killed_at) >= 6

    for at, half in killed_at:
        cluster = deepcopy(start)
        cluster.kill_at, cluster.half_done = at, half
        with pytest.raises(Killed):
            asyncio.run(run(cluster, target(service)))
        point = cluster.operations[-1]
        if then == "killed once more":
            cluster.operations.clear()
            cluster.kill_at = 1 + at // 2
            try:
                asyncio.run(run(cluster, target(service)))
            except Killed:
                cluster.kill_at = None
        cluster.kill_at = None
        again = rollout(cluster, target(service))
        ended = asyncio.run(again.abort() if then == "abort" else again.run())

        if cluster.deployed == new:
            assert not conduct, point
            assert ended.outcome in {RolloutOutcome.PROMOTED, RolloutOutcome.UNCHANGED}, point
        else:
            assert cluster.deployed == old, point
            assert then == "abort" or conduct, point
        assert not cluster.lease_left


async def test_a_first_installation_whose_image_is_not_to_be_had_is_taken_away() -> None:
    cluster = FakeCluster(conduct={NEW: Conduct(pulls=False)})

    ended = await run(cluster)

    assert ended.outcome is RolloutOutcome.UNDONE
    assert "api-migrate does not start (ImagePullBackOff)" in ended.why
    assert cluster.deployed == {}
