"""The load itself carries every kind of request, misses no failure, counts what was accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tests.chaos.history import Outcome
from tests.cluster.clients import MIX, ClientPool
from tests.cluster.cluster import kubectl, until
from tests.cluster.deployment import NAMESPACE, Deployment
from tests.cluster.effects import effects
from tests.cluster.load import Load

RATE = 60  # a second


def test_a_suite_that_nobody_disturbs_answers_everything_and_loses_nothing(
    deployment: Deployment, clients: ClientPool, note: Callable[[str], None]
) -> None:
    with Load(clients, rate=RATE) as load:
        load.run(requests=RATE * 20)
    found = effects(deployment, load.result)
    note(f"load  quiet: {load.result}")
    note(f"load  quiet: {found}")

    assert load.result.failures == [], load.result.summary()
    assert set(load.result.operations) == set(MIX)
    assert found.hold, found
    assert found.images.accepted > 0
    assert found.mails.accepted == found.registrations.accepted > 0
    assert found.renames.accepted > 0


def test_what_fails_is_reported_with_its_route_its_status_and_its_time(
    deployment: Deployment, clients: ClientPool, note: Callable[[str], None]
) -> None:
    count = len(deployment.pods("api"))
    with Load(clients, rate=RATE) as load:
        load.run(requests=RATE * 2)
        before = load.result.failed
        kubectl("-n", NAMESPACE, "scale", "deployment/api", "--replicas=0")
        try:
            until(lambda: load.result.failed > RATE, "no failures were seen", timeout=60)
        finally:
            kubectl("-n", NAMESPACE, "scale", "deployment/api", f"--replicas={count}")
            until(lambda: deployment.ready("api") == count, "api is back", timeout=60)
    note(f"load  without api: {load.result}")

    assert before == 0, load.result.summary()
    seen = Counter(failure.operation for failure in load.result.failures)
    assert seen["GET /api/v1/users/me"] > 0
    assert seen["GET /api/v1/jobs/{id}"] > 0
    assert all(failure.at > load.result.began for failure in load.result.failures)
    assert any(
        failure.outcome.startswith("503 /problems/unavailable") for failure in load.result.failures
    )
    assert Outcome.UNKNOWN in {*load.result.outcomes["upload"].values()}
    found = effects(deployment, load.result)
    assert found.hold, found
