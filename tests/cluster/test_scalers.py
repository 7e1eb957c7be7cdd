"""One scaler takes over from another the pods that there are: no upgrade drops their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.cluster.cluster import kubectl, objects, until
from tests.cluster.deployment import NAMESPACE, Deployment
from tests.cluster.scaling import ReplicaTrail, missing_keda, values

SERVICE, PODS = "users", 2
_BOUNDS = {"autoscaling.minReplicas": 1, "autoscaling.maxReplicas": 3}
# A target that is never reached, so that nothing is scaled but by a fault.
_AUTOSCALER = {**_BOUNDS, "autoscaling.enabled": True, "autoscaling.cpu": 100_000}
_KEDA = {**_AUTOSCALER, "keda.enabled": True}


@pytest.fixture
def doubled(deployment: Deployment) -> Iterator[Deployment]:
    """Two pods, by the fixed number."""
    deployment.service(SERVICE, *values(replicas=PODS))
    yield deployment
    deployment.service(SERVICE)


def _names(deployment: Deployment) -> set[str]:
    return {pod["metadata"]["name"] for pod in deployment.pods(SERVICE)}


def test_switching_the_autoscaler_on_keeps_the_pods(
    doubled: Deployment, note: Callable[[str], None]
) -> None:
    before = _names(doubled)
    with ReplicaTrail(SERVICE) as trail:
        doubled.service(SERVICE, *values(**_AUTOSCALER))
        doubled.service(SERVICE, *values(**_AUTOSCALER))  # nor does the upgrade after that
    after = _names(doubled)
    note(f"{SERVICE}: fixed number -> HPA -> upgrade: replicas were {trail.numbers}")

    assert set(trail.numbers) == {PODS}
    assert before == after


def test_keda_and_the_autoscaler_replace_each_other_and_keep_the_pods(
    doubled: Deployment, note: Callable[[str], None]
) -> None:
    if reason := missing_keda():
        pytest.skip(reason)
    doubled.service(SERVICE, *values(**_AUTOSCALER))
    before = _names(doubled)
    with ReplicaTrail(SERVICE) as trail:
        doubled.service(SERVICE, *values(**_KEDA))
        until(lambda: _scalers() == {f"keda-hpa-{SERVICE}"}, "KEDA alone scales", 60)
        doubled.service(SERVICE, *values(**_AUTOSCALER))
        until(lambda: _scalers() == {SERVICE}, "KEDA scales no more", 60)
    after = _names(doubled)
    note(f"{SERVICE}: HPA -> KEDA -> HPA: replicas were {trail.numbers}")

    assert set(trail.numbers) == {PODS}
    assert before == after
    assert kubectl("-n", NAMESPACE, "get", "scaledobjects", "--output", "name") == ""


def _scalers() -> set[str]:
    found = objects("horizontalpodautoscalers", NAMESPACE)
    return {
        one["metadata"]["name"] for one in found if one["spec"]["scaleTargetRef"]["name"] == SERVICE
    }
