"""Dashboards and alerts name what a running suite exports, and nothing else."""

import json
import re
import uuid
from collections import defaultdict

import httpx
import pytest
from tests.e2e.console_visits import Visitor
from tests.observability.dashboards import FOLDER
from tests.observability.expressions import Selector, grouped_by, selectors
from tests.observability.rules import CHARTS, rules

# Exported by whom they are about, not by us.
OF_OTHERS = {
    "up": "Prometheus itself, for every scrape",
    "certmanager_certificate_expiration_timestamp_seconds": "cert-manager, which issues them",
}
# Put on by the scrape: the PodMonitor's jobLabel, and the operator's own.
OF_THE_SCRAPE = {"job", "namespace", "pod", "instance", "app_kubernetes_io_part_of"}
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


class Exported:
    """What the management ports of a suite show."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.labels: dict[str, set[str]] = defaultdict(set)
        self.values: dict[tuple[str, str], set[str]] = defaultdict(set)

    def add(self, exposition: str) -> None:
        for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", exposition, re.MULTILINE):
            self.names |= {name + suffix for suffix in _SUFFIXES.get(kind, ("",))}
        for name, labels in re.findall(r"^(\w+)\{(.*)\} \S+$", exposition, re.MULTILINE):
            for label, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels):
                self.labels[name].add(label)
                self.values[name, label].add(value)


@pytest.fixture(scope="module")
async def exported(suite) -> Exported:
    """After every operation was used once, a wrong password and a missing page included."""
    if not suite.management:
        pytest.skip("a suite by URL does not show its management ports")
    async with httpx.AsyncClient(base_url=suite.url, timeout=60) as client:
        await Visitor(client, [], lambda: False, uploads=True).visit()
        form = {
            "grant_type": "password",
            "username": f"{uuid.uuid4()}@example.com",
            "password": "x",
        }
        await client.post("/api/v1/auth/token", data=form)
    found = Exported()
    async with httpx.AsyncClient() as client:
        for url in suite.management.values():
            found.add((await client.get(f"{url}/metrics")).text)
    return found


def used_expressions() -> dict[str, list[str]]:
    """Return every expression of rules and dashboards, by place."""
    found = {
        f"{chart} {rule.get('alert') or rule.get('record')}": [rule["expr"]]
        for chart in CHARTS
        for rule in rules(chart)
    }
    for path in FOLDER.glob("*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            expressions = [target["expr"] for target in panel.get("targets", ())]
            found.setdefault(f"{path.stem} {panel['title']}", []).extend(expressions)
    return found


RECORDED = {rule["record"] for chart in CHARTS for rule in rules(chart) if "record" in rule}
USED = [
    (place, expression, selector)
    for place, expressions in used_expressions().items()
    for expression in expressions
    for selector in selectors(expression)
]


def test_every_metric_that_is_named_is_exported(exported):
    missing = {
        (place, selector.metric)
        for place, _, selector in USED
        if selector.metric not in exported.names | RECORDED | OF_OTHERS.keys()
    }
    assert not missing


def test_every_label_that_is_named_is_one_of_its_metric(exported: Exported):
    def unknown(selector: Selector, expression: str) -> set[str]:
        known = exported.labels.get(selector.metric)
        if known is None:  # nothing has happened yet that would be labelled
            return set()
        named = set(selector.labels) | grouped_by(expression)
        return named - known - OF_THE_SCRAPE - {"le"}

    for place, expression, selector in USED:
        if len({other.metric for other in selectors(expression)}) == 1:
            assert not unknown(selector, expression), place


# Each outcome of these is exported from the start; that of others once it has happened.
PRESET_OUTCOMES = {"jobs_wakeups_total", "telemetry_spans_total"}


def test_every_pool_cause_and_outcome_that_is_named_exists(exported):
    for place, _, selector in USED:
        preset = ("outcome",) if selector.metric in PRESET_OUTCOMES else ()
        for label in ("pool", "cause", *preset):
            value = selector.exact.get(label)
            if value is not None and selector.metric in exported.labels:
                assert value in exported.values[selector.metric, label], (place, label, value)


def test_what_others_export_is_named_for_a_reason():
    named = {selector.metric for _, _, selector in USED}
    assert OF_OTHERS.keys() <= named


def test_a_metric_that_nobody_exports_would_be_found(exported):
    assert "http_request_total" not in exported.names
    assert "http_requests_total" in exported.names
