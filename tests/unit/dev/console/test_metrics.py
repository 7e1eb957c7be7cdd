"""Conversion of the samples that a service exposes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from twelvefold_dev.console.sources.metrics import POINTS, Metrics, parse


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def lines(metrics: Metrics, family: str) -> dict[tuple[Any, ...], list[float | None]]:
    return {
        (line["what"], *line["labels"].values()): line["values"]
        for line in metrics.series([family])["lines"]
    }


def take(metrics: Metrics, registry: CollectorRegistry, at: float, process: str = "api.1") -> None:
    metrics.take(process, generate_latest(registry).decode(), at)


def test_a_counter_becomes_a_rate(registry) -> None:
    counter, metrics = Counter("hits", "h", ["of"], registry=registry), Metrics()
    for at in (0, 10, 20):
        take(metrics, registry, at)
        counter.labels("x").inc(30)
    assert lines(metrics, "hits_total") == {("rate", "x"): [None, 3, 3]}


def test_a_reset_counter_has_no_negative_rate(registry) -> None:
    metrics = Metrics()
    for at, value in ((0, 100), (10, 5)):
        metrics.take("api.1", f"# TYPE hits_total counter\nhits_total {value}\n", at)
    assert lines(metrics, "hits_total") == {("rate",): [None, 0]}


def test_a_gauge_stays_unchanged(registry) -> None:
    gauge, metrics = Gauge("depth", "h", registry=registry), Metrics()
    for at in (1, 2):
        gauge.set(at)
        take(metrics, registry, at)
    assert lines(metrics, "depth") == {("value",): [1, 2]}


def test_a_histogram_becomes_quantiles_of_the_interval(registry) -> None:
    histogram = Histogram("took", "h", ["route"], buckets=(1, 2, 4), registry=registry)
    metrics = Metrics()
    histogram.labels("/old").observe(3.9)
    take(metrics, registry, 0)
    for value in (0.5,) * 50 + (1.5,) * 50:
        histogram.labels("/new").observe(value)
    take(metrics, registry, 10)
    found = lines(metrics, "took")
    assert found["rate", "/new"] == [None, 10]
    assert found["p50", "/new"] == [None, 1]
    assert found["p95", "/new"] == [None, 1.9]
    assert found["p50", "/old"] == [None, None]
    # For both routes together, not the mean of their quantiles.
    assert found["p95",] == [None, 1.9]


def test_labels_with_special_characters_are_parsed(registry) -> None:
    Gauge("odd", "h", ["a"], registry=registry).labels('x{"}\\\n, y="z"').set(1)
    (key,) = parse(generate_latest(registry).decode())["odd"].samples
    assert dict(key[1]) == {"a": 'x{"}\\\n, y="z"'}


@given(st.text(max_size=300))
def test_text_of_any_kind_is_parsed_without_an_error(text) -> None:
    metrics = Metrics()
    metrics.take("api.1", text, 1)
    metrics.take("api.1", text, 2)
    metrics.series([family["name"] for family in metrics.families()])


def test_points_and_lines_are_bounded(registry) -> None:
    gauge, metrics = Gauge("many", "h", ["n"], registry=registry), Metrics()
    for number in range(2_000):
        gauge.labels(str(number)).set(number)
    for at in range(3):
        take(metrics, registry, at)
    found = metrics.series(["many"])
    assert len(found["lines"]) == 1_500
    few = Metrics()
    for at in range(POINTS + 50):
        few.take("api.1", "depth 1\n", at)
    (line,) = few.series(["depth"])["lines"]
    assert len(line["values"]) == len(few.series([])["times"]["api.1"]) == POINTS


def test_a_series_with_gaps_stays_aligned_in_time() -> None:
    metrics = Metrics()
    for at, text in enumerate(("a 1\n", "a 1\nb 5\n", "a 1\n", "a 1\nb 7\n")):
        metrics.take("api.1", text, at)
    assert lines(metrics, "b") == {("value",): [None, 5, None, 7]}


def test_a_process_that_ended_long_ago_is_pruned() -> None:
    metrics = Metrics()
    metrics.take("api.2", "a 1\n", 1)
    metrics.take("api.1", "a 1\n")
    metrics.prune(["api.1"])
    assert list(metrics.series([])["times"]) == ["api.1"]


TRACE = "0123456789abcdef0123456789abcdef"
OPEN_METRICS = f"""# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{{handler="/a",le="0.1"}} 3 # {{trace_id="{TRACE}"}} 0.07 1700000000.5
http_request_duration_seconds_bucket{{handler="/a",le="+Inf"}} 3 # {{trace_id="none"}} 0.07 1700000000.5
http_request_duration_seconds_count{{handler="/a"}} 3
http_request_duration_seconds_sum{{handler="/a"}} 0.2
# TYPE jobs_ended counter
jobs_ended_total 4 # {{trace_id="{TRACE}"}} 1 1700000000.5
# EOF
"""  # noqa: E501 (a line of the format)


def test_exemplars_lead_from_a_measured_value_to_its_trace() -> None:
    metrics = Metrics()
    metrics.take("api.1", OPEN_METRICS, 1_700_000_001)
    metrics.take("api.1", OPEN_METRICS, 1_700_000_002)  # which repeats the exemplar
    found = metrics.series({"http_request_duration_seconds"})
    assert found["exemplars"] == [
        {
            "process": "api.1",
            "family": "http_request_duration_seconds",
            "labels": {"handler": "/a"},
            "value": 0.07,
            "time": 1_700_000_000.5,
            "trace_id": TRACE,
        }
    ]
    assert {line["what"] for line in found["lines"]} >= {"rate", "p95"}
    assert metrics.latest("api.1", "jobs_ended_total") == 4.0


def test_the_exemplars_of_a_process_are_bounded() -> None:
    metrics = Metrics()
    for number in range(600):
        text = OPEN_METRICS.replace(TRACE, f"{number:032x}")
        metrics.take("api.1", text, 1_700_000_000 + number)
    assert len(metrics.series({"http_request_duration_seconds"})["exemplars"]) == 500
