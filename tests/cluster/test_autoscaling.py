"""Under load the autoscaler adds pods and takes them away again, and no request fails for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from tests.cluster.clients import ClientPool
from tests.cluster.cluster import CommandFailed, kubectl, until
from tests.cluster.deployment import NAMESPACE, Deployment
from tests.cluster.load import Load

MOST = 3  # pods
BUSY, IDLE = 50, 5  # requests a second
# The chart's own behaviour: up by one pod a minute, down by one a minute after five quiet ones.
_UP, _DOWN = 600.0, 900.0  # seconds

pytestmark = [pytest.mark.endurance, pytest.mark.timeout(2400)]


@pytest.fixture
def scaled(deployment: Deployment) -> Iterator[Deployment]:
    """One pod of api, which may become three."""
    try:
        kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes")
    except CommandFailed:
        pytest.skip("the cluster has no metrics-server: its autoscalers know nothing of load")
    deployment.service(
        "api",
        *("--set", "resources.requests.cpu=200m,autoscaling.enabled=true,autoscaling.cpu=20"),
        *("--set", f"autoscaling.minReplicas=1,autoscaling.maxReplicas={MOST}"),
    )
    yield deployment
    deployment.service("api")


def test_pods_come_with_the_load_and_go_with_it_and_no_request_fails(
    scaled: Deployment, clients: ClientPool, note: Callable[[str], None]
) -> None:
    until(lambda: scaled.ready("api") == 1, "it begins with one pod", _DOWN)
    with Load(clients, rate=BUSY) as busy:
        began = time.monotonic()
        until(lambda: scaled.ready("api") == MOST, f"{MOST} pods are ready", _UP)
        up = time.monotonic() - began
        busy.run(seconds=15)
    with Load(clients, rate=IDLE) as idle:
        began = time.monotonic()
        until(lambda: len(scaled.pods("api")) == 1, "one pod is left", _DOWN)
        down = time.monotonic() - began
        idle.run(seconds=10)
    events = kubectl(
        *("-n", NAMESPACE, "get", "events", "--field-selector"),
        *("involvedObject.kind=HorizontalPodAutoscaler,reason=SuccessfulRescale", "-o", "name"),
    )
    note(f"autoscaling 1 -> {MOST} in {up:.0f} s: {busy.result}")
    note(f"autoscaling {MOST} -> 1 in {down:.0f} s: {idle.result}")

    assert busy.result.failures == [], busy.result.summary()
    assert idle.result.failures == [], idle.result.summary()
    assert len(events.split()) >= 2
