"""Whether a new version is as good as the old one, by what their pods counted in the meantime.

Owns samples of a pod's metrics, their differences over a window, and the verdict. Knows neither
Kubernetes nor time: who takes the samples says when the window is over.

Every criterion is a share: of requests that failed, of requests slower than the limit (a p99 over
500 ms is the same as over 1 % of them slower than that), of jobs that gave up. What the old version
does itself is not held against the new one. A share is too high only once chance is ruled out, by the
exact binomial test: a version that is just good enough would do as badly once in a thousand looks.
Once the window is over, errors are held to once in a hundred: the longer one doubts, the more
people meet them. Slowness is not, since slow requests come together and the test takes them for
independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from prometheus_client.parser import text_string_to_metric_families

_CHANCE = 0.001  # that a version which is just good enough is called bad at one look
_CHANCE_OVER = 0.01  # the same for its errors, once the window is over
_SLOWEST = 0.01  # the share that a p99 leaves
_FAILED_RUNS = frozenset({"failed", "dead"})


@dataclass(frozen=True, slots=True)
class AnalysisLimits:
    """What a new version may do worse than the old one, and from how many requests on one can tell."""

    error_ratio: float = 0.01
    p99: float = 0.5  # seconds
    requests: int = 100  # requests, or runs of jobs, of the new version


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters of one pod since its process began."""

    requests: float = 0
    errors: float = 0
    slow: float = 0  # slower than the limit
    runs: float = 0  # of jobs
    failed_runs: float = 0
    dead: float = 0  # jobs that gave up
    cumulative: Mapping[float, float] = field(default_factory=dict)  # requests by upper bound, in s


def read(exposition: str, threshold: float) -> Sample:
    """The counters in what a pod serves at /metrics; `threshold` in seconds says what is slow."""
    found = dict.fromkeys(("requests", "errors", "runs", "failed_runs", "dead"), 0.0)
    cumulative: dict[float, float] = {}
    for family in text_string_to_metric_families(exposition):
        for one in family.samples:
            if one.name == "http_requests_total":
                found["requests"] += one.value
                found["errors"] += one.value if one.labels["status"].startswith("5") else 0
            elif one.name == "http_request_duration_seconds_bucket":
                bound = float(one.labels["le"])
                cumulative[bound] = cumulative.get(bound, 0.0) + one.value
            elif one.name == "jobs_finished_total":
                status = one.labels["status"]
                found["runs"] += one.value
                found["failed_runs"] += one.value if status in _FAILED_RUNS else 0
                found["dead"] += one.value if status == "dead" else 0
    # The bucket that holds the threshold counts as fast: what is called slow, is.
    fast = min((count for bound, count in cumulative.items() if bound >= threshold), default=0.0)
    return Sample(**found, slow=cumulative.get(math.inf, 0.0) - fast, cumulative=cumulative)


@dataclass(frozen=True, slots=True)
class VersionMetrics:
    """What one version did in a window."""

    requests: int = 0
    errors: int = 0
    slow: int = 0
    runs: int = 0
    failed_runs: int = 0
    dead: int = 0
    p99: float | None = None  # seconds, by interpolation; None without requests

    @property
    def error_ratio(self) -> float:
        return _share(self.errors, self.requests)


class Window:
    """Counts of a version's pods between the window's beginning and each pod's last sample."""

    def __init__(self) -> None:
        self._first: dict[str, Sample] = {}
        self._last: dict[str, Sample] = {}
        self._began = False

    def take(self, samples: Mapping[str, Sample]) -> None:
        """One look at all pods. A pod that came later began at zero."""
        for pod, sample in samples.items():
            if pod not in self._first:
                self._first[pod] = Sample() if self._began else sample
            elif sample.requests + sample.runs < self._last[pod].requests + self._last[pod].runs:
                self._first[pod] = Sample()  # its process is another
            self._last[pod] = sample
        self._began = self._began or bool(samples)

    @property
    def figures(self) -> VersionMetrics:
        def grown(name: str) -> int:
            grown_by: float = sum(
                getattr(last, name) - getattr(self._first[pod], name)
                for pod, last in self._last.items()
            )
            return round(grown_by)

        return VersionMetrics(
            requests=grown("requests"),
            errors=grown("errors"),
            slow=grown("slow"),
            runs=grown("runs"),
            failed_runs=grown("failed_runs"),
            dead=grown("dead"),
            p99=_quantile(self._buckets(), 1 - _SLOWEST),
        )

    def _buckets(self) -> dict[float, float]:
        summed: dict[float, float] = {}
        for pod, last in self._last.items():
            first = self._first[pod].cumulative
            for bound, count in last.cumulative.items():
                summed[bound] = summed.get(bound, 0.0) + count - first.get(bound, 0.0)
        return summed


def _quantile(cumulative: Mapping[float, float], share: float) -> float | None:
    """As Prometheus' histogram_quantile: linear within a bucket."""
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
    GOOD = "good"
    BAD = "bad"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Verdict:
    judgement: VerdictKind
    why: str


def evaluate(
    new: VersionMetrics, old: VersionMetrics, limits: AnalysisLimits, *, by_jobs: bool, over: bool
) -> Verdict:
    """The verdict at this moment; `over`: the window is, so that it may be good.

    `by_jobs`: the service serves no requests, runs of jobs are what counts.
    """
    seen, noun = (new.runs, "jobs") if by_jobs else (new.requests, "requests")
    undecided: list[str] = []
    for criterion in _criteria(new, old, limits, by_jobs=by_jobs):
        chance = _CHANCE_OVER if over and criterion.is_of_errors else _CHANCE
        if exceeds(criterion.count, criterion.of, criterion.allowed, chance):
            return Verdict(VerdictKind.BAD, str(criterion))
        if _share(criterion.count, criterion.of) > criterion.allowed:
            undecided.append(f"{criterion}, which may be chance")
    if seen < limits.requests:
        return Verdict(VerdictKind.OPEN, f"{seen} of the {limits.requests} {noun} that it takes")
    if undecided:
        return Verdict(VerdictKind.OPEN, "; ".join(undecided))
    if not over:
        return Verdict(VerdictKind.OPEN, "nothing to complain of so far")
    return Verdict(VerdictKind.GOOD, f"as good as the old one in {seen} {noun}")


@dataclass(frozen=True, slots=True)
class _Criterion:
    what: str
    count: int
    of: int
    allowed: float
    is_of_errors: bool = True

    def __str__(self) -> str:
        return (
            f"{self.count} of {self.of} {self.what} ({_share(self.count, self.of):.2%}, "
            f"allowed {self.allowed:.2%})"
        )


def _criteria(
    new: VersionMetrics, old: VersionMetrics, limits: AnalysisLimits, *, by_jobs: bool
) -> Iterator[_Criterion]:
    if by_jobs:
        allowed = limits.error_ratio + _share(old.failed_runs, old.runs)
        yield _Criterion("runs of jobs failed", new.failed_runs, new.runs, allowed)
        return
    allowed = limits.error_ratio + old.error_ratio
    yield _Criterion("requests answered 5xx", new.errors, new.requests, allowed)
    allowed = _SLOWEST + _share(old.slow, old.requests)
    slow = f"requests slower than {limits.p99 * 1000:.0f} ms"
    yield _Criterion(slow, new.slow, new.requests, allowed, is_of_errors=False)


def evaluate_jobs(worker: VersionMetrics, limits: AnalysisLimits) -> Verdict:
    """Whether jobs give up while a service that makes some is new; runs are the worker's."""
    dead = _Criterion("jobs gave up", worker.dead, worker.runs, limits.error_ratio)
    if exceeds(dead.count, dead.of, dead.allowed):
        return Verdict(VerdictKind.BAD, str(dead))
    return Verdict(VerdictKind.OPEN, "jobs end")


def exceeds(count: int, of: int, allowed: float, chance: float = _CHANCE) -> bool:
    """Whether a share of `count` in `of` is more than `allowed`, but for a `chance` so small."""
    if of <= 0 or _share(count, of) <= allowed:
        return False
    if allowed <= 0:
        return True
    # The upper tail of the binomial distribution, whose terms fall from here on.
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
        if tail >= chance or term < chance * 1e-6:
            break
        term *= odds * (of - successes) / (successes + 1)
    return tail < chance


def _share(count: int, of: int) -> float:
    return count / of if of > 0 else 0.0
