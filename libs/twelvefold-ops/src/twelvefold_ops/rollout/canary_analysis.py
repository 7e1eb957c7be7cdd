"""Canary analysis: compare the metrics of a new version's pods with those of the old version.

Parses a pod's counters, computes their increase over a window, and derives a verdict. The caller
takes the samples and decides when the window is complete.

Each criterion is a share: of failed requests, of requests slower than the limit (a p99 above 500 ms
means that more than 1 % of requests are slower than that), or of dead jobs. The old version's own
share is added to what is allowed. A share counts as too high only if the exact binomial test
rejects chance: a version exactly at the limit fails one evaluation in a thousand. After the window
the test for errors uses one in a hundred, because a longer analysis exposes more clients to them.
The test for slowness stays stricter: slow requests cluster, and the test assumes independence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from prometheus_client.parser import text_string_to_metric_families

_SIGNIFICANCE = 0.001  # probability that a version exactly at the limit fails an evaluation
_ERROR_SIGNIFICANCE = 0.01  # the same for errors, once the window is complete
_SLOW_RATIO = 0.01  # the share of requests above the p99
_FAILED_RUNS = frozenset({"failed", "dead"})


@dataclass(frozen=True, slots=True)
class AnalysisLimits:
    """By how much a new version may be worse, and how many requests a verdict needs."""

    error_ratio: float = 0.01
    p99: float = 0.5  # seconds
    requests: int = 100  # minimum of requests (worker: job runs) of the new version


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters of one pod since its process started."""

    requests: float = 0
    errors: float = 0
    slow: float = 0  # requests slower than the limit
    runs: float = 0  # job runs
    failed_runs: float = 0
    dead: float = 0  # jobs out of attempts
    cumulative: Mapping[float, float] = field(default_factory=dict)  # requests by upper bound (s)


def parse_metrics(exposition: str, threshold: float) -> Sample:
    """Parse the counters of a pod's /metrics. Requests slower than `threshold` seconds are slow."""
    counters = dict.fromkeys(("requests", "errors", "runs", "failed_runs", "dead"), 0.0)
    cumulative: dict[float, float] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name == "http_requests_total":
                counters["requests"] += sample.value
                counters["errors"] += sample.value if sample.labels["status"].startswith("5") else 0
            elif sample.name == "http_request_duration_seconds_bucket":
                bound = float(sample.labels["le"])
                cumulative[bound] = cumulative.get(bound, 0.0) + sample.value
            elif sample.name == "jobs_finished_total":
                status = sample.labels["status"]
                counters["runs"] += sample.value
                counters["failed_runs"] += sample.value if status in _FAILED_RUNS else 0
                counters["dead"] += sample.value if status == "dead" else 0
    # Requests in the threshold's own bucket count as fast, so that every slow request is slow.
    fast = min((count for bound, count in cumulative.items() if bound >= threshold), default=0.0)
    return Sample(**counters, slow=cumulative.get(math.inf, 0.0) - fast, cumulative=cumulative)


@dataclass(frozen=True, slots=True)
class VersionMetrics:
    """The counts of one version's pods in a window."""

    requests: int = 0
    errors: int = 0
    slow: int = 0
    runs: int = 0
    failed_runs: int = 0
    dead: int = 0
    p99: float | None = None  # seconds, by interpolation; None without requests

    @property
    def error_ratio(self) -> float:
        """The share of requests that got a 5xx response."""
        return _share(self.errors, self.requests)


class Window:
    """Counts of a version's pods from the window's start to each pod's last sample."""

    def __init__(self) -> None:
        self._first: dict[str, Sample] = {}
        self._last: dict[str, Sample] = {}
        self._has_started = False

    def add(self, samples: Mapping[str, Sample]) -> None:
        """Add one sample of each pod, by its uid. A pod that appears later starts at zero."""
        for pod, sample in samples.items():
            if pod not in self._first:
                self._first[pod] = Sample() if self._has_started else sample
            elif sample.requests + sample.runs < self._last[pod].requests + self._last[pod].runs:
                self._first[pod] = Sample()  # its process restarted
            self._last[pod] = sample
        self._has_started = self._has_started or bool(samples)

    @property
    def metrics(self) -> VersionMetrics:
        """What the pods counted in the window so far."""

        def increase(name: str) -> int:
            total: float = sum(
                getattr(last, name) - getattr(self._first[pod], name)
                for pod, last in self._last.items()
            )
            return round(total)

        return VersionMetrics(
            requests=increase("requests"),
            errors=increase("errors"),
            slow=increase("slow"),
            runs=increase("runs"),
            failed_runs=increase("failed_runs"),
            dead=increase("dead"),
            p99=_quantile(self._sum_buckets(), 1 - _SLOW_RATIO),
        )

    def _sum_buckets(self) -> dict[float, float]:
        totals: dict[float, float] = {}
        for pod, last in self._last.items():
            first = self._first[pod].cumulative
            for bound, count in last.cumulative.items():
                totals[bound] = totals.get(bound, 0.0) + count - first.get(bound, 0.0)
        return totals


def _quantile(cumulative: Mapping[float, float], share: float) -> float | None:
    """Interpolate within a bucket, as Prometheus' histogram_quantile; None without requests."""
    bounds = sorted(cumulative)
    if not bounds or cumulative[bounds[-1]] <= 0:
        return None
    rank = share * cumulative[bounds[-1]]
    below, lower = 0.0, 0.0
    for bound in bounds:
        if cumulative[bound] >= rank:
            if math.isinf(bound):
                return lower
            within = cumulative[bound] - below
            return lower + (bound - lower) * ((rank - below) / within if within else 1.0)
        below, lower = cumulative[bound], bound
    return lower


class VerdictKind(StrEnum):
    """OPEN: more samples are needed."""

    GOOD = "good"
    BAD = "bad"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict, and the counts that explain it."""

    kind: VerdictKind
    why: str


def evaluate(
    new: VersionMetrics,
    old: VersionMetrics,
    limits: AnalysisLimits,
    *,
    by_jobs: bool,
    is_complete: bool,
) -> Verdict:
    """Return the present verdict. It is GOOD only if `is_complete`: the window has passed.

    `by_jobs` compares job runs only, for a service that receives no requests.
    """
    count, noun = (new.runs, "jobs") if by_jobs else (new.requests, "requests")
    undecided: list[str] = []
    for criterion in _criteria(new, old, limits, by_jobs=by_jobs):
        significance = (
            _ERROR_SIGNIFICANCE if is_complete and criterion.is_of_errors else _SIGNIFICANCE
        )
        if exceeds(criterion.count, criterion.of, criterion.allowed, significance):
            return Verdict(VerdictKind.BAD, str(criterion))
        if _share(criterion.count, criterion.of) > criterion.allowed:
            undecided.append(f"{criterion}, which may be due to chance")
    if count < limits.requests:
        return Verdict(
            VerdictKind.OPEN, f"{count} of the {limits.requests} {noun} that a verdict needs"
        )
    if undecided:
        return Verdict(VerdictKind.OPEN, "; ".join(undecided))
    if not is_complete:
        return Verdict(VerdictKind.OPEN, "no criterion exceeded so far")
    return Verdict(VerdictKind.GOOD, f"as good as the old version in {count} {noun}")


@dataclass(frozen=True, slots=True)
class _Criterion:
    description: str
    count: int
    of: int
    allowed: float
    is_of_errors: bool = True

    def __str__(self) -> str:
        return (
            f"{self.count} of {self.of} {self.description} ({_share(self.count, self.of):.2%}, "
            f"allowed {self.allowed:.2%})"
        )


def _criteria(
    new: VersionMetrics, old: VersionMetrics, limits: AnalysisLimits, *, by_jobs: bool
) -> Iterator[_Criterion]:
    if not by_jobs:
        allowed = limits.error_ratio + old.error_ratio
        yield _Criterion("requests answered with 5xx", new.errors, new.requests, allowed)
        allowed = _SLOW_RATIO + _share(old.slow, old.requests)
        slow = f"requests slower than {limits.p99 * 1000:.0f} ms"
        yield _Criterion(slow, new.slow, new.requests, allowed, is_of_errors=False)
    # Of worker, and of a service that runs the jobs of a queue of its own.
    allowed = limits.error_ratio + _share(old.failed_runs, old.runs)
    yield _Criterion("job runs failed", new.failed_runs, new.runs, allowed)


def evaluate_jobs(worker: VersionMetrics, limits: AnalysisLimits) -> Verdict:
    """Return BAD if too many of the worker's jobs are dead, else OPEN.

    For the rollout of a service that enqueues jobs: a bad version may enqueue jobs that fail.
    """
    dead = _Criterion("jobs are dead", worker.dead, worker.runs, limits.error_ratio)
    if exceeds(dead.count, dead.of, dead.allowed):
        return Verdict(VerdictKind.BAD, str(dead))
    return Verdict(VerdictKind.OPEN, "few jobs are dead")


def exceeds(count: int, of: int, allowed: float, significance: float = _SIGNIFICANCE) -> bool:
    """Return whether `count` in `of` exceeds the share `allowed`, by the exact binomial test.

    `significance` is the probability of a wrong True for a true share of `allowed`.
    """
    if of <= 0 or _share(count, of) <= allowed:
        return False
    if allowed <= 0:
        return True
    # Sum the upper tail of the binomial distribution, whose terms decrease from `count` on.
    term = math.exp(
        math.lgamma(of + 1)
        - math.lgamma(count + 1)
        - math.lgamma(of - count + 1)
        + count * math.log(allowed)
        + (of - count) * math.log1p(-allowed)
    )
    tail, odds = 0.0, allowed / (1 - allowed)
    for successes in range(count, of + 1):
        tail += term
        if tail >= significance or term < significance * 1e-6:
            break
        term *= odds * (of - successes) / (successes + 1)
    return tail < significance


def _share(count: int, of: int) -> float:
    return count / of if of > 0 else 0.0
