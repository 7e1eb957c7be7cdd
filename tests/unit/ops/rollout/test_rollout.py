"""The steps of a rollout, on a cluster in memory. tests/cluster/test_rollout.py uses a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.fakes.cluster import Behaviour, FakeCluster, Killed

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
    propagation_delay=0.0,
    poll_interval=0.0,
    placement_timeout=0.05,
    limits=AnalysisLimits(requests=100),
)
OLD, NEW = "2026.11.01-old", "2026.11.02-new"
Report = Callable[[Event], None]


def target(service: str = "api", tag: str = NEW) -> Target:
    values = {"image": {"tag": tag}, "autoscaling": {"minReplicas": 3}}
    return Target(service, f"version {tag}", values, is_routed=service != "worker")


def cluster_with_old_version(service: str = "api", **behaviour: Any) -> FakeCluster:
    """Return a cluster that runs the old version of a service. `behaviour` is the new version's."""
    cluster = FakeCluster(behaviour={NEW: Behaviour(**behaviour)})
    cluster.start(service, OLD, routing=service != "worker")
    return cluster


def rollout(
    cluster: FakeCluster,
    to: Target | None = None,
    options: Options = QUICK,
    report: Report | None = None,
) -> Rollout:
    return Rollout(cluster, to or target(), options, report or (lambda _: None))


async def run(cluster: FakeCluster, *arguments: Any) -> RolloutResult:
    return await rollout(cluster, *arguments).run()


async def test_a_good_version_gets_growing_shares_and_becomes_the_primary() -> None:
    cluster = cluster_with_old_version()
    before = cluster.deployed["api-routing"]

    result = await run(cluster)

    assert result.outcome is RolloutOutcome.PROMOTED
    assert cluster.weights == [0, 5, 25, 50, 100, 0, None]
    assert cluster.deployed == {"api": target().values, "api-routing": before}


async def test_blue_green_switches_all_requests_at_once() -> None:
    cluster = cluster_with_old_version()
    options = Options(steps=(100,), window=0.0, propagation_delay=0.0, poll_interval=0.0)

    await run(cluster, None, options)

    assert cluster.weights == [0, 100, 0, None]


async def test_the_canary_has_as_many_pods_as_its_share_needs() -> None:
    cluster = cluster_with_old_version()
    weights_and_pods: list[tuple[int | None, int]] = []

    def report(event: Event) -> None:
        if event.kind == "figures":
            weights_and_pods.append((event.facts["weight"], count_pods(cluster, "api-canary")))

    await run(cluster, None, QUICK, report)

    assert dict(weights_and_pods) == {5: 1, 25: 1, 50: 2, 100: 3}


def count_pods(cluster: FakeCluster, release: str) -> int:
    count: int = cluster.live[release]["autoscaling"]["minReplicas"]
    return count


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        ({"errors": 0.05}, "answered with 5xx"),
        ({"slow": 0.2}, "slower than 500 ms"),
        ({"pulls": False}, "api-canary-migrate does not start (ImagePullBackOff)"),
        ({"starts": False}, "does not start"),
        ({"ready": False}, "not ready"),
        ({"crashes": True}, "crashed"),
        ({"passes_test": False}, "its test failed"),
        ({"kinds": frozenset({"email.send", "image.blur"})}, "roll out worker first"),
    ],
)
async def test_a_bad_version_is_removed_and_the_former_state_restored(
    behaviour: dict[str, Any], why: str
) -> None:
    cluster = cluster_with_old_version(**behaviour)
    before = cluster.deployed

    result = await run(cluster)

    assert result.outcome is RolloutOutcome.UNDONE
    assert why in result.why
    assert cluster.deployed == before


async def test_a_bad_version_gets_no_more_than_the_first_share() -> None:
    cluster = cluster_with_old_version(errors=0.05)

    await run(cluster)

    assert cluster.weights == [0, 5, 0]


async def test_the_check_runs_while_the_canary_gets_no_share_of_the_requests() -> None:
    cluster = cluster_with_old_version()

    result = await run(cluster, None, Options(check="exit 3", propagation_delay=0.0))

    assert result == RolloutResult(
        RolloutOutcome.UNDONE, "the check failed with exit code 3: exit 3"
    )
    assert cluster.weights == [0]


async def test_a_check_that_times_out_is_ended_with_its_children(tmp_path: Path) -> None:
    cluster = cluster_with_old_version()
    hangs = f"sleep 300 & echo $! > {tmp_path}/pid; wait"

    result = await run(cluster, None, Options(check=hangs, patience=0.5, propagation_delay=0.0))

    assert result.outcome is RolloutOutcome.UNDONE
    assert "the check timed out after" in result.why
    child = int((tmp_path / "pid").read_text())
    async with asyncio.timeout(10):
        while psutil.pid_exists(child):
            await asyncio.sleep(0.02)


async def test_errors_that_the_old_version_has_too_are_allowed() -> None:
    cluster = cluster_with_old_version(errors=0.05, slow=0.5)
    cluster.behaviour[OLD] = Behaviour(errors=0.05, slow=0.5)

    assert (await run(cluster)).outcome is RolloutOutcome.PROMOTED


async def test_restarts_before_the_analysis_are_allowed_in_every_pod() -> None:
    cluster = cluster_with_old_version(restarts=1)

    assert (await run(cluster)).outcome is RolloutOutcome.PROMOTED


async def test_without_requests_there_is_no_verdict_and_the_rollout_is_undone() -> None:
    cluster = cluster_with_old_version()
    cluster.requests_per_sample = 0

    result = await run(cluster)

    assert result.outcome is RolloutOutcome.UNDONE
    assert "no verdict" in result.why
    assert "--min-requests" in result.why


async def test_a_worker_is_compared_by_its_jobs_and_has_no_routing() -> None:
    cluster = cluster_with_old_version("worker", errors=0.05)

    result = await run(cluster, target("worker"))

    assert result.outcome is RolloutOutcome.UNDONE
    assert "job runs failed" in result.why
    assert cluster.weights == []


async def test_a_version_that_already_runs_is_left_unchanged() -> None:
    cluster = cluster_with_old_version()
    await run(cluster)
    done = len(cluster.operations)

    result = await run(cluster)

    assert result.outcome is RolloutOutcome.UNCHANGED
    assert len(cluster.operations) == done


async def test_the_first_installation_has_no_canary() -> None:
    cluster = FakeCluster()

    result = await run(cluster)

    assert result.outcome is RolloutOutcome.PROMOTED
    assert set(cluster.deployed) == {"api"}


async def test_a_first_installation_that_does_not_start_is_uninstalled() -> None:
    cluster = FakeCluster(behaviour={NEW: Behaviour(starts=False)})

    result = await run(cluster)

    assert result.outcome is RolloutOutcome.UNDONE
    assert cluster.deployed == {}


async def test_another_target_is_refused_during_a_rollout() -> None:
    cluster = cluster_with_old_version()
    cluster.kill_at = 4
    with pytest.raises(Killed):
        await run(cluster)
    before = cluster.deployed

    with pytest.raises(RolloutRefused, match="to another target is in progress"):
        await run(cluster, target(tag="2026.11.03-other"))

    assert cluster.deployed == before


async def test_a_service_whose_requests_nothing_divides_is_refused() -> None:
    cluster = cluster_with_old_version("users")
    cluster.divides = False

    with pytest.raises(RolloutRefused, match="users-routing has no routes"):
        await run(cluster, target("users"))

    assert cluster.operations == []


async def test_a_canary_that_no_rollout_created_is_left_unchanged() -> None:
    cluster = cluster_with_old_version()
    await cluster.upgrade("api-canary", target())

    with pytest.raises(RolloutRefused, match="no rollout created api-canary"):
        await run(cluster)


async def test_a_helm_operation_of_another_process_is_left_alone() -> None:
    cluster = cluster_with_old_version()
    cluster.history["api"][-1].status = "pending-upgrade"

    with pytest.raises(RolloutRefused, match="Helm is changing api"):
        await run(cluster)


async def test_abort_rolls_back_and_reports_where_there_is_no_rollout() -> None:
    cluster = cluster_with_old_version()
    before = cluster.deployed
    assert (await rollout(cluster).abort()).outcome is RolloutOutcome.UNCHANGED
    cluster.kill_at = 5
    with pytest.raises(Killed):
        await run(cluster)

    result = await rollout(cluster).abort()

    assert result.outcome is RolloutOutcome.UNDONE
    assert cluster.deployed == before


@pytest.mark.parametrize("weight", [5, 25, 50, 100])
async def test_a_cancelled_rollout_is_rolled_back(weight: int) -> None:
    cluster = cluster_with_old_version()
    before = cluster.deployed

    def report(event: Event) -> None:
        if event.kind == "figures" and event.facts["weight"] == weight:
            task.cancel()

    task = asyncio.create_task(run(cluster, None, QUICK, report))

    assert (await task) == RolloutResult(RolloutOutcome.UNDONE, "cancelled")
    assert cluster.deployed == before


async def test_a_failed_rollback_is_completed_by_the_next_run() -> None:
    cluster = cluster_with_old_version(errors=0.05)
    before = cluster.deployed
    cluster.refuses = lambda operation: operation == "rollback api-routing"

    with pytest.raises(RolloutIncomplete, match="Repeat the command"):
        await run(cluster)

    cluster.refuses = lambda _: False
    result = await run(cluster)
    assert result.outcome is RolloutOutcome.UNDONE
    assert cluster.deployed == before


def kill_points(cluster: FakeCluster, service: str = "api") -> list[tuple[int, bool]]:
    """Return every operation of a complete run, and whether to kill half-way through it."""
    trial = deepcopy(cluster)
    asyncio.run(run(trial, target(service)))
    return [(at, half) for at in range(1, len(trial.operations) + 1) for half in (False, True)]


@pytest.mark.parametrize("service", ["api", "worker"])
@pytest.mark.parametrize("behaviour", [{}, {"errors": 0.05}, {"ready": False}])
@pytest.mark.parametrize("then", ["again", "abort", "killed once more"])
def test_after_a_kill_at_any_operation_a_second_run_reaches_the_old_or_the_new_state(
    service: str, behaviour: dict[str, Any], then: str
) -> None:
    """Kill before and half-way through every operation: the result is never a mixture."""
    start = cluster_with_old_version(service, **behaviour)
    old = start.deployed
    new = {**old, service: target(service).values}
    points = kill_points(start, service)
    assert len(points) >= 6

    for at, half in points:
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
        result = asyncio.run(again.abort() if then == "abort" else again.run())

        if cluster.deployed == new:
            assert not behaviour, point
            assert result.outcome in {RolloutOutcome.PROMOTED, RolloutOutcome.UNCHANGED}, point
        else:
            assert cluster.deployed == old, point
            assert then == "abort" or behaviour, point
        assert not cluster.lease_left


async def test_a_first_installation_whose_image_cannot_be_pulled_is_uninstalled() -> None:
    cluster = FakeCluster(behaviour={NEW: Behaviour(pulls=False)})

    result = await run(cluster)

    assert result.outcome is RolloutOutcome.UNDONE
    assert "api-migrate does not start (ImagePullBackOff)" in result.why
    assert cluster.deployed == {}
