"""When the canary analysis passes a new version, and when it fails one."""

from __future__ import annotations

import random

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from twelvefold_ops.rollout.canary_analysis import (
    AnalysisLimits,
    Sample,
    Verdict,
    VerdictKind,
    VersionMetrics,
    Window,
    evaluate,
    evaluate_jobs,
    exceeds,
    parse_metrics,
)

LIMITS = AnalysisLimits(error_ratio=0.01, p99=0.5, requests=100)
GOOD_OLD = VersionMetrics(requests=10_000)


def verdict(
    new: VersionMetrics,
    old: VersionMetrics = GOOD_OLD,
    *,
    by_jobs: bool = False,
    is_complete: bool = True,
) -> Verdict:
    return evaluate(new, old, LIMITS, by_jobs=by_jobs, is_complete=is_complete)


def test_a_version_passes_after_the_window_with_enough_requests() -> None:
    assert verdict(VersionMetrics(requests=100)).kind is VerdictKind.GOOD
    assert verdict(VersionMetrics(requests=99)).kind is VerdictKind.OPEN
    assert verdict(VersionMetrics(requests=100), is_complete=False).kind is VerdictKind.OPEN


def test_a_bad_version_fails_before_the_end_of_the_window_with_its_figures() -> None:
    result = verdict(VersionMetrics(requests=200, errors=20), is_complete=False)

    assert result == Verdict(
        VerdictKind.BAD, "20 of 200 requests answered with 5xx (10.00%, allowed 1.00%)"
    )


def test_errors_need_less_significance_after_the_window() -> None:
    new = VersionMetrics(requests=174, errors=6)
    assert verdict(new, is_complete=False).kind is VerdictKind.OPEN
    assert verdict(new, is_complete=True).kind is VerdictKind.BAD
    # Slow requests cluster, so they prove less.
    assert verdict(VersionMetrics(requests=174, slow=6), is_complete=True).kind is VerdictKind.OPEN


def test_one_error_among_few_requests_gives_no_verdict() -> None:
    result = verdict(VersionMetrics(requests=50, errors=1))

    assert result.kind is VerdictKind.OPEN


def test_a_share_over_the_limit_that_may_be_chance_gives_no_verdict() -> None:
    result = verdict(VersionMetrics(requests=100, errors=2))

    assert result.kind is VerdictKind.OPEN
    assert "may be due to chance" in result.why


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (VersionMetrics(requests=1000, errors=50), VersionMetrics(requests=1000, errors=50)),
        (VersionMetrics(requests=1000, slow=300), VersionMetrics(requests=1000, slow=300)),
    ],
    ids=["errors", "slowness"],
)
def test_the_old_versions_own_share_is_allowed(new: VersionMetrics, old: VersionMetrics) -> None:
    assert verdict(new, old).kind is VerdictKind.GOOD
    assert verdict(new, GOOD_OLD).kind is VerdictKind.BAD


def test_a_p99_over_the_limit_is_more_than_one_slow_request_in_a_hundred() -> None:
    assert verdict(VersionMetrics(requests=1000, slow=10)).kind is VerdictKind.GOOD
    assert verdict(VersionMetrics(requests=1000, slow=40)).kind is VerdictKind.BAD


def test_a_worker_is_compared_by_its_job_runs() -> None:
    assert verdict(VersionMetrics(runs=100), by_jobs=True).kind is VerdictKind.GOOD
    failing = VersionMetrics(runs=100, failed_runs=30)
    assert verdict(failing, by_jobs=True).kind is VerdictKind.BAD
    assert verdict(failing, VersionMetrics(runs=90, failed_runs=27), by_jobs=True).kind is (
        VerdictKind.GOOD
    )


def test_a_service_with_requests_that_runs_jobs_of_its_own_is_compared_by_both() -> None:
    failing = VersionMetrics(requests=100, runs=100, failed_runs=30)
    assert verdict(failing).kind is VerdictKind.BAD
    assert "30 of 100 job runs failed" in verdict(failing).why
    assert verdict(failing, VersionMetrics(requests=100, runs=90, failed_runs=27)).kind is (
        VerdictKind.GOOD
    )
    assert verdict(VersionMetrics(requests=100, runs=100)).kind is VerdictKind.GOOD


def test_a_service_whose_jobs_become_dead_fails() -> None:
    assert evaluate_jobs(VersionMetrics(runs=100, dead=20), LIMITS).kind is VerdictKind.BAD
    assert evaluate_jobs(VersionMetrics(runs=100, failed_runs=20), LIMITS).kind is VerdictKind.OPEN


def test_significance_follows_the_binomial_distribution() -> None:
    # P(X >= 5 | n = 100, p = 0.01) = 0.0034; P(X >= 6) = 0.00053.
    assert not exceeds(5, 100, 0.01)
    assert exceeds(6, 100, 0.01)
    assert exceeds(1, 100, 0.0)
    assert not exceeds(0, 0, 0.0)
    assert exceeds(60_000, 1_000_000, 0.05)


def test_a_version_at_the_limit_rarely_fails() -> None:
    generator = random.Random(7)  # noqa: S311 (a simulation)
    failures = sum(
        exceeds(sum(generator.random() < 0.01 for _ in range(500)), 500, 0.01) for _ in range(2000)
    )

    assert failures <= 10


def exposition(statuses: dict[str, int], durations: list[float]) -> str:
    registry = CollectorRegistry()
    requests = Counter("http_requests_total", "", ["status"], registry=registry)
    for status, count in statuses.items():
        requests.labels(status).inc(count)
    buckets = (0.1, 0.25, 0.5, 1.0)
    histogram = Histogram(
        "http_request_duration_seconds", "", ["handler"], registry=registry, buckets=buckets
    )
    for index, duration in enumerate(durations):
        histogram.labels(f"/{index % 2}").observe(duration)
    jobs = Counter("jobs_finished_total", "", ["status"], registry=registry)
    for status, count in {"succeeded": 7, "failed": 2, "dead": 1}.items():
        jobs.labels(status).inc(count)
    return generate_latest(registry).decode()


def test_a_pods_metrics_are_summed_over_their_labels() -> None:
    text = exposition({"200": 90, "404": 5, "500": 3, "503": 2}, [0.05] * 3 + [0.4] * 2 + [0.7, 9])

    sample = parse_metrics(text, threshold=0.5)

    assert (sample.requests, sample.errors) == (100, 5)
    assert sample.slow == 2
    assert (sample.runs, sample.failed_runs, sample.dead) == (10, 3, 1)


def test_with_a_limit_between_two_bounds_only_slow_requests_count_as_slow() -> None:
    text = exposition({}, [0.4, 0.6, 2.0])

    assert parse_metrics(text, threshold=0.3).slow == 2  # 0.4 may be over 0.3 or not
    assert parse_metrics(text, threshold=0.6).slow == 1


def test_a_window_counts_from_its_start_across_new_and_restarted_pods() -> None:
    window = Window()
    window.add({"a": Sample(requests=1000, errors=10)})
    window.add({"a": Sample(requests=1100, errors=10), "b": Sample(requests=50)})
    window.add({"a": Sample(requests=30, errors=3), "b": Sample(requests=60)})

    assert window.metrics.requests == 90  # 30 of a's new process, and 60 of b
    assert window.metrics.errors == 3


def test_a_pod_that_does_not_respond_keeps_its_last_counts() -> None:
    window = Window()
    window.add({"a": Sample(requests=10)})
    window.add({"a": Sample(requests=40)})
    window.add({})

    assert window.metrics.requests == 30


def test_a_windows_p99_covers_the_window_only() -> None:
    window = Window()
    bounds = (0.1, 0.5, float("inf"))
    window.add(
        {"a": Sample(requests=1000, cumulative=dict(zip(bounds, (0, 0, 1000), strict=True)))}
    )
    window.add(
        {"a": Sample(requests=1100, cumulative=dict(zip(bounds, (100, 100, 1100), strict=True)))}
    )

    assert window.metrics.p99 == pytest.approx(0.099)
    assert Window().metrics.p99 is None
