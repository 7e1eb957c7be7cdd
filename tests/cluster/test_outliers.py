"""Outlier detection: a sick pod gets no more requests, and an outage takes them from no pod."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from tests.cluster.clients import ClientPool
from tests.cluster.cluster import until
from tests.cluster.deployment import Deployment
from tests.cluster.outages import answered, ejected, postgres_unreachable, sick_pod

PODS = 3
ROUTE = "/api/v1/jobs"  # needs a row for every answer
REQUESTS = 90
# With evenly spread requests a pod that is served less would be a coincidence of one in a million.
_SHARE = REQUESTS / PODS / 3
_ERRORS = 3  # of a pod in a row until it is ejected: consecutiveErrors.v1

pytestmark = [pytest.mark.endurance]


@pytest.fixture
def ask(client: httpx.Client, clients: ClientPool) -> Callable[[int], list[int]]:
    """Sends so many requests, one after the other; returns their statuses."""
    clients.sign_in()
    headers = {"Authorization": f"Bearer {clients.people[0].token}"}

    def send(count: int) -> list[int]:
        return [client.get(ROUTE, headers=headers).status_code for _ in range(count)]

    return send


@pytest.fixture(scope="module")
def tripled(deployment: Deployment) -> Iterator[Deployment]:
    deployment.service("api", "--set", f"replicas={PODS}")
    yield deployment
    deployment.service("api")


def _shares(deployment: Deployment, send: Callable[[], object]) -> list[int]:
    """How many requests each pod answers meanwhile."""
    before = answered(deployment, ROUTE)
    send()
    after = answered(deployment, ROUTE)
    return sorted(int(count - before[pod]) for pod, count in after.items())


def test_an_outage_of_the_database_leaves_every_pod_its_requests(
    tripled: Deployment, ask: Callable[[int], list[int]], note: Callable[[str], None]
) -> None:
    until(lambda: not ejected() and set(ask(10)) == {200}, "all pods serve", 120)
    with postgres_unreachable(tripled):
        until(lambda: set(ask(5 * PODS)) == {503}, "every pod answers 503", 60)
        statuses: list[int] = []
        during = _shares(tripled, lambda: statuses.extend(ask(REQUESTS)))
        out = len(ejected())
    began = time.monotonic()
    until(lambda: ask(1) == [200], "the database is back", 60)
    back = time.monotonic() - began
    after: list[int] = []
    later = _shares(tripled, lambda: after.extend(ask(REQUESTS)))
    still = len(ejected())
    note(f"outage: {out} of {PODS} pods ejected, {len(statuses)} x 503, by pod {during}")
    note(f"outage: served again after {back:.0f} s, {still} pods still ejected, by pod {later}")

    assert set(statuses) == {503}
    assert set(after) == {200}
    assert min(during) >= _SHARE
    assert min(later) >= _SHARE


def test_one_sick_pod_of_three_loses_its_requests(
    deployment: Deployment, ask: Callable[[int], list[int]], note: Callable[[str], None]
) -> None:
    deployment.service("api", "--set", f"replicas={PODS - 1}")
    until(lambda: not ejected() and set(ask(10)) == {200}, "all pods serve", 120)
    with sick_pod(deployment):
        began = time.monotonic()
        until(lambda: 503 in ask(1), "the sick pod gets requests", 60)
        statuses = ask(REQUESTS)
        seconds = time.monotonic() - began
        out = len(ejected())
        last = max(at for at, status in enumerate([503, *statuses]) if status == 503)
    failed = 1 + statuses.count(503)
    note(f"sick pod: {failed} of {REQUESTS + 1} failed in {seconds:.0f} s, the last at {last}")

    # How many fail before depends on when the gateway's main thread takes the pod out.
    assert out == 1
    assert failed >= _ERRORS
    assert set(statuses[-REQUESTS // 2 :]) == {200}
