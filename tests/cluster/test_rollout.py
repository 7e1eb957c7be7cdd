"""`twelvefold rollout` under load: good versions take over, bad ones go, no request fails.

All of it, as often as docs/guides/rollout.md says: make cluster-rollouts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.cluster.clients import ClientPool
from tests.cluster.deployment import NAMESPACE, Deployment
from tests.cluster.effects import effects
from tests.cluster.load import Load
from tests.cluster.rollout_run import Rollouts, unchanged

RATE = 50  # a second
QUICK = ("--canary", "25", "--pause", "5s", "--min-requests", "50")


@pytest.fixture(scope="module")
def rollouts(deployment: Deployment) -> Iterator[Rollouts]:
    """Leaves the services as the deployment installs them."""
    yield Rollouts(deployment)
    for service in ("api", "worker"):
        deployment.service(service, "--reset-values")


def test_a_good_version_takes_over_and_no_request_fails(
    rollouts: Rollouts, deployment: Deployment, clients: ClientPool, note: Callable[[str], None]
) -> None:
    with Load(clients, rate=RATE) as load:
        load.run(seconds=2)
        run = rollouts.start("api", "good", "one", *QUICK).wait()
        load.run(seconds=2)
    note(f"rollout good api    {run.seconds:.0f} s; {load.result}")

    assert run.code == 0, run.transcript()
    assert rollouts.serving("api") == {"one"}
    assert load.result.failures == [], load.result.summary()
    found = effects(deployment, load.result)
    assert found.hold, found


def test_a_version_with_errors_is_undone_and_the_cluster_is_as_before(
    rollouts: Rollouts, clients: ClientPool, note: Callable[[str], None]
) -> None:
    with unchanged() as differences, Load(clients, rate=RATE) as load:
        load.run(seconds=2)
        run = rollouts.start("api", "errors", "two", *QUICK).wait()
        load.run(seconds=2)
    note(f"rollout errors api  {run.seconds:.0f} s; {load.result}; {run.why}")

    assert run.code == 1, run.transcript()
    assert "answered with 5xx" in run.why
    assert differences == []
    assert run.seconds < 120
    assert load.result.failed <= load.result.requests * 0.01, load.result.summary()


@pytest.mark.endurance
def test_a_killed_rollout_is_gone_on_with_and_a_killed_one_is_called_off(
    rollouts: Rollouts, note: Callable[[str], None]
) -> None:
    options = ("--blue-green", "--pause", "2s", "--min-requests", "0")
    before = rollouts.serving("worker")
    first = rollouts.start("worker", "good", "three", *options)
    first.reaches("weight-100")
    first.stop()

    back = rollouts.abort("worker").wait()
    assert back.code == 0, back.transcript()
    assert rollouts.serving("worker") == before

    second = rollouts.start("worker", "good", "three", *options)
    second.reaches("promotion")
    second.stop()
    again = rollouts.start("worker", "good", "three", *options).wait()

    note(f"rollout killed twice: back in {back.seconds:.0f} s, forth in {again.seconds:.0f} s")
    assert again.code == 0, again.transcript()
    assert rollouts.serving("worker") == {"three"}


def test_what_cannot_be_rolled_out_is_refused_and_nothing_is_changed(
    rollouts: Rollouts, deployment: Deployment
) -> None:
    with unchanged() as differences:
        run = rollouts.start("api", "good", "four", "--set", "unheard.of=1").wait()

    assert run.code in {1, 2}, run.transcript()
    assert "unheard" in run.why
    assert differences == []
    assert deployment.ready("api") > 0, NAMESPACE
