"""A real Prometheus scrapes every pod, evaluates every rule, and an alert fires and resolves."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import yaml
from tests.cluster import prometheus
from tests.cluster.cluster import ROOT, kubectl, until
from tests.cluster.deployment import BACKING, SYSTEM, Deployment
from tests.cluster.scaling import values
from tests.suite import SERVICES

_ON = values(**{"monitoring.enabled": True})
_FIRES = 300.0  # seconds: two minutes of the rule, a scrape and an evaluation

pytestmark = [pytest.mark.endurance, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def monitored(deployment: Deployment) -> Iterator[Deployment]:
    if reason := prometheus.missing():
        pytest.skip(reason)
    deployment.release("platform", "charts/platform", *_ON, namespace=SYSTEM)
    for service in SERVICES:
        deployment.service(service, *_ON)
    yield deployment
    for service in SERVICES:
        deployment.service(service)
    deployment.release("platform", "charts/platform", namespace=SYSTEM)


def test_every_pod_is_a_target_that_is_up(
    monitored: Deployment, note: Callable[[str], None]
) -> None:
    expected = {
        (service, pod["metadata"]["name"], "up")
        for service in SERVICES
        for pod in monitored.pods(service)
    }
    began = time.monotonic()
    until(lambda: set(prometheus.targets()) == expected, "targets are up", prometheus.NOTICED)
    counts = Counter(service for service, _, _ in expected)
    note(f"Prometheus: targets up after {time.monotonic() - began:.0f} s: {dict(counts)}")

    scraped = {labels["job"] for labels, _ in prometheus.query("process_start_time_seconds")}
    assert set(SERVICES) <= scraped


def test_every_rule_of_the_charts_is_loaded_and_evaluates(
    monitored: Deployment, note: Callable[[str], None]
) -> None:
    expected = Counter(
        rule.get("alert") or rule["record"]
        for path in ROOT.glob("charts/*/files/rules/*.yaml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    )

    def evaluated() -> bool:
        found = prometheus.rules()
        names = Counter(one["name"] for one in found)
        return names == expected and {one["health"] for one in found} == {"ok"}

    until(evaluated, "every rule has been evaluated", prometheus.NOTICED)
    alerts = sum(rule["type"] == "alerting" for rule in prometheus.rules())
    note(f"Prometheus: {expected.total()} rules loaded and healthy, {alerts} of them alerts")


def test_the_alert_on_a_lost_server_fires_and_resolves(
    monitored: Deployment, note: Callable[[str], None]
) -> None:
    lost = {"name": "redis", "job": "api"}

    def states() -> set[str]:
        return prometheus.alert_states("BackingServiceLost", **lost)

    until(lambda: not states(), "no alert is left of before", prometheus.NOTICED)
    began = time.monotonic()
    kubectl("-n", BACKING, "scale", "deployment/redis", "--replicas=0")
    try:
        until(lambda: states() == {"pending"}, "the alert is pending", _FIRES)
        pending = time.monotonic() - began
        until(lambda: states() == {"firing"}, "the alert fires", _FIRES)
        firing = time.monotonic() - began
    finally:
        kubectl("-n", BACKING, "scale", "deployment/redis", "--replicas=1")
    began = time.monotonic()
    until(lambda: not states(), "the alert is resolved", _FIRES)
    resolved = time.monotonic() - began
    note(
        f"Prometheus: BackingServiceLost {lost} pending after {pending:.0f} s, firing after "
        f"{firing:.0f} s, resolved {resolved:.0f} s after Redis was started"
    )
