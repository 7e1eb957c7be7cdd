"""Under load the suite's pods are replaced, restarted, evicted and killed, and no request fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.cluster.clients import ClientPool
from tests.cluster.deployment import Deployment
from tests.cluster.disruptions import DISTURBANCES, REPLICAS
from tests.cluster.effects import effects
from tests.cluster.load import Load
from tests.suite import SERVICES

RATE = 50  # a second: with a pod starting beside it, what two processors carry without a queue
IN_FLIGHT = 5  # requests that may end with the process that is killed


@pytest.fixture(scope="module")
def doubled(deployment: Deployment) -> Iterator[Deployment]:
    """Two pods of each service, and so a budget for their disruption."""
    for service in SERVICES:
        deployment.service(service, "--set", f"replicas={REPLICAS}")
    yield deployment
    for service in SERVICES:
        deployment.service(service)


@pytest.mark.endurance
@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_nobody_notices(
    disturbance: str,
    service: str,
    doubled: Deployment,
    clients: ClientPool,
    note: Callable[[str], None],
) -> None:
    with Load(clients, rate=RATE) as load:
        load.run(seconds=3)
        DISTURBANCES[disturbance](doubled, service)
        load.run(seconds=3)
    found = effects(doubled, load.result)
    note(f"{disturbance:<15} {service:<6} {load.result}")
    note(f"{'':<22} {found}")

    allowed = IN_FLIGHT if disturbance == "kill -9" else 0
    assert load.result.failed <= allowed, load.result.summary()
    assert found.hold, found
