"""When a new version is called as good as the old one, and when not."""

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
    read,
)

LIMITS = AnalysisLimits(error_ratio=0.01, p99=0.5, requests=100)
GOOD_OLD = VersionMetrics(requests=10_000)


def verdict(
    new: VersionMetrics, old: VersionMetrics = GOOD_OLD, *, by_jobs: bool = False, over: bool = True
) -> Verdict:
    return evaluate(new, old, LIMITS, by_jobs=by_jobs, over=over)


def test_it_is_good_once_the_window_is_over_and_it_had_its_requests() -> None:
    assert verdict(VersionMetrics(requests=100)).judgement is VerdictKind.GOOD
    assert verdict(VersionMetrics(requests=99)).judgement is VerdictKind.OPEN
    assert verdict(VersionMetrics(requests=100), over=False).judgement is VerdictKind.OPEN


def test_what_is_bad_is_told_before_the_window_is_over_and_with_its_figures() -> None:
    found = verdict(VersionMetrics(requests=200, errors=20), over=False)

    assert found == Verdict(
        VerdictKind.BAD, "20 of 200 requests answered 5xx (10.00%, allowed 1.00%)"
    )


def test_errors_are_doubted_for_less_long_once_the_window_is_over() -> None:
    new = VersionMetrics(requests=174, errors=6)
    assert verdict(new, over=False).judgement is VerdictKind.OPEN
    assert verdict(new, over=True).judgement is VerdictKind.BAD
    # Slow requests come together, and so say less.
    assert verdict(VersionMetrics(requests=174, slow=6), over=True).judgement is VerdictKind.OPEN


def test_one_error_among_few_requests_may_be_chance() -> None:
    found = verdict(VersionMetrics(requests=50, errors=1))

    assert found.judgement is VerdictKind.OPEN


def test_a_share_over_the_limit_that_may_be_chance_is_watched_longer() -> None:
    found = verdict(VersionMetrics(requests=100, errors=2))

    assert found.judgement is VerdictKind.OPEN
    assert "may be chance" in found.why


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (VersionMetrics(requests=1000, errors=50), VersionMetrics(requests=1000, errors=50)),
        (VersionMetrics(requests=1000, slow=300), VersionMetrics(requests=1000, slow=300)),
    ],
    ids=["errors", "slowness"],
)
def test_the_old_version_is_allowed_for(new: VersionMetrics, old: VersionMetrics) -> None:
    assert verdict(new, old).judgement is VerdictKind.GOOD
    assert verdict(new, GOOD_OLD).judgement is VerdictKind.BAD


def test_a_p99_over_the_limit_is_more_than_one_slow_request_in_a_hundred() -> None:
    assert verdict(VersionMetrics(requests=1000, slow=10)).judgement is VerdictKind.GOOD
    assert verdict(VersionMetrics(requests=1000, slow=40)).judgement is VerdictKind.BAD


def test_a_worker_is_judged_by_the_runs_of_its_jobs() -> None:
    assert verdict(VersionMetrics(runs=100), by_jobs=True).judgement is VerdictKind.GOOD
    failing = VersionMetrics(runs=100, failed_runs=30)
    assert verdict(failing, by_jobs=True).judgement is VerdictKind.BAD
    assert verdict(failing, VersionMetrics(runs=90, failed_runs=27), by_jobs=True).judgement is (
        VerdictKind.GOOD
    )


def test_a_service_that_makes_jobs_which_give_up_is_bad() -> None:
    assert evaluate_jobs(VersionMetrics(runs=100, dead=20), LIMITS).judgement is VerdictKind.BAD
    assert (
        evaluate_jobs(VersionMetrics(runs=100, failed_runs=20), LIMITS).judgement
        is VerdictKind.OPEN
    )


def test_chance_is_ruled_out_as_the_binomial_distribution_says() -> None:
    # P(X >= 5 | n = 100, p = 0.01) = 0.0034; P(X >= 6) = 0.00053.
    assert not exceeds(5, 100, 0.01)
    assert exceeds(6, 100, 0.01)
    assert exceeds(1, 100, 0.0)
    assert not exceeds(0, 0, 0.0)
    assert exceeds(60_000, 1_000_000, 0.05)


def test_a_version_that_is_just_good_enough_is_hardly_ever_called_bad() -> None:
    chance = random.Random(7)  # noqa: S311 (a simulation)
    called_bad = sum(
        exceeds(sum(chance.random() < 0.01 for _ in range(500)), 500, 0.01) for _ in range(2000)
    )

    assert called_bad <= 10


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


def test_a_pods_metrics_are_read_over_all_of_their_labels() -> None:
    text = exposition({"200": 90, "404": 5, "500": 3, "503": 2}, [0.05] * 3 + [0.4] * 2 + [0.7, 9])

    found = read(text, threshold=0.5)

    assert (found.requests, found.errors) == (100, 5)
    assert found.slow == 2
    assert (found.runs, found.failed_runs, found.dead) == (10, 3, 1)


def test_a_limit_between_two_bounds_calls_slow_only_what_is() -> None:
    text = exposition({}, [0.4, 0.6, 2.0])

    assert read(text, threshold=0.3).slow == 2  # 0.4 may be over 0.3 or not
    assert read(text, threshold=0.6).slow == 1


def test_a_window_counts_from_its_beginning_and_over_pods_that_come_and_restart() -> None:
    window = Window()
    window.take({"a": Sample(requests=1000, errors=10)})
    window.take({"a": Sample(requests=1100, errors=10), "b": Sample(requests=50)})
    window.take({"a": Sample(requests=30, errors=3), "b": Sample(requests=60)})

    assert window.figures.requests == 90  # 30 since a's new process began, and b's 60
    assert window.figures.errors == 3


def test_a_pod_that_does_not_answer_keeps_what_it_told() -> None:
    window = Window()
    window.take({"a": Sample(requests=10)})
    window.take({"a": Sample(requests=40)})
    window.take({})

    assert window.figures.requests == 30


def test_a_windows_p99_is_of_the_window_alone() -> None:
    window = Window()
    bounds = (0.1, 0.5, float("inf"))
    window.take(
        {"a": Sample(requests=1000, cumulative=dict(zip(bounds, (0, 0, 1000), strict=True)))}
    )
    window.take(
        {"a": Sample(requests=1100, cumulative=dict(zip(bounds, (100, 100, 1100), strict=True)))}
    )

    assert window.figures.p99 == pytest.approx(0.099)
    assert Window().figures.p99 is None
