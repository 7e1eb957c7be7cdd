"""The process's Prometheus registry and every metric that the suite exposes.

One place, so that names and labels are chosen once. Labels never hold ids, addresses or raw
paths: their values must be few and known. One process per registry; PROMETHEUS_MULTIPROC_DIR is
never used (it drops exemplars).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder
from prometheus_fastapi_instrumentator import Instrumentator
from prometheus_fastapi_instrumentator.metrics import Info
from starlette.requests import Request
from starlette.types import Scope

from twelvefold.context import current_request
from twelvefold.errors import Overloaded

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

# Seconds. Around the limits that matter: a cache hit, a database read, the request timeout.
DURATION_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
WAIT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
JOB_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0)
ATTEMPT_BUCKETS = (1, 2, 3, 5, 10, 30, 100)

UNMATCHED = "none"  # the handler label of requests without a route, as the instrumentator has it


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """A metric of ours, for the reference page."""

    name: str  # as it is exposed, without the suffixes of a histogram
    kind: str
    labels: tuple[str, ...]
    help: str


CATALOGUE: list[MetricInfo] = []


def _counter(name: str, text: str, *labels: str) -> Counter:
    CATALOGUE.append(MetricInfo(f"{name}_total", "counter", labels, text))
    return Counter(name, text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    CATALOGUE.append(MetricInfo(name, "gauge", labels, text))
    return Gauge(name, text, labels, registry=REGISTRY)


def _histogram(name: str, text: str, *labels: str, buckets: Sequence[float]) -> Histogram:
    CATALOGUE.append(MetricInfo(name, "histogram", labels, text))
    return Histogram(name, text, labels, buckets=buckets, registry=REGISTRY)


@dataclass(slots=True)
class RequestCounts:
    """What /info says about the requests of this process."""

    requests: int = 0
    errors: int = 0
    active: int = 0


counts = RequestCounts()

build_info = _gauge(
    "twelvefold_build_info", "Always 1: which service of which version runs.", "service", "version"
)

# Served requests (rate, errors, duration), by method and route template. Names and labels are
# those of prometheus-fastapi-instrumentator, so that dashboards made for it fit.
http_requests = _counter(
    "http_requests",
    "Requests by method, route template and status.",
    *("method", "status", "handler"),
)
http_request_duration = _histogram(
    "http_request_duration_seconds",
    "Time until the answer begins, by method and route template.",
    *("method", "handler"),
    buckets=DURATION_BUCKETS,
)
_gauge("http_requests_inprogress", "Requests being served now.").set_function(lambda: counts.active)
http_requests_refused = _counter(
    "http_requests_refused",
    "Requests refused by a bound: concurrency, connections, timeout, head, body, unread, rate.",
    "reason",
)
for reason in ("concurrency", "connections", "timeout", "head", "body", "unread", "rate"):
    http_requests_refused.labels(reason)
rate_limit_refused = _counter(
    "rate_limit_refused", "Requests beyond their quota, by policy.", "policy"
)
rate_limit_local = _counter(
    "rate_limit_local", "Requests that were counted in this process alone, since Redis was away."
)

event_loop_lag = _histogram(
    "event_loop_lag_seconds",
    "How late the event loop was, looked at some times a second.",
    buckets=LAG_BUCKETS,
)

# Whatever is bounded (utilisation, saturation, errors): connections, threads, slots, queues.
pool_size = _gauge("pool_size", "How much of it there is at most.", "pool")
pool_in_use = _gauge("pool_in_use", "How much of it is taken now.", "pool")
pool_waiting = _gauge("pool_waiting", "Who waits for some of it now.", "pool")
pool_wait = _histogram(
    "pool_wait_seconds", "Time until some of it was had.", "pool", buckets=WAIT_BUCKETS
)
pool_exhausted = _counter("pool_exhausted", "Who got none: it was full for too long.", "pool")

# Calls to other services.
client_requests = _histogram(
    "client_request_duration_seconds",
    "Duration of calls to another service; outcome is the status class, `timeout` or `error`.",
    *("peer", "outcome"),
    buckets=DURATION_BUCKETS,
)

# Backing services.
backing_up = _gauge("backing_service_up", "Whether the last ping was answered.", "name")
dependency_refused = _counter(
    "dependency_refused",
    "Calls not made: the dependency is away, or full of calls of this process.",
    *("name", "reason"),
)
cache_requests = _counter(
    "cache_requests",
    "Reads (hit, miss, negative) and writes (set, stale) of the cache; either may be unavailable.",
    "outcome",
)
mails_sent = _counter("mails_sent", "Mails by outcome: sent, rejected, failed.", "outcome")

# Durable jobs.
jobs_enqueued = _counter("jobs_enqueued", "Jobs inserted, by kind.", "kind")
jobs_finished = _counter(
    "jobs_finished",
    "Runs of jobs that ended, by kind and the state that they left.",
    "kind",
    "status",
)
job_duration = _histogram("job_duration_seconds", "Duration of runs.", "kind", buckets=JOB_BUCKETS)
job_start_delay = _histogram(
    "job_start_delay_seconds",
    "From when a job was due, its commit in most cases, to its claim: the lag of the outbox.",
    "kind",
    buckets=JOB_BUCKETS,
)
job_attempts = _histogram(
    "job_attempts", "Attempts that a job had taken when it ended.", "kind", buckets=ATTEMPT_BUCKETS
)
jobs_running = _gauge("jobs_running", "Jobs running in this process.", "kind")
jobs_open = _gauge(
    "jobs_open", "Jobs that have not ended, or are dead, by kind and state.", "kind", "status"
)
jobs_due = _gauge("jobs_due", "Jobs due and not claimed.", "queue")
jobs_queue_age = _gauge("jobs_queue_age_seconds", "Age of the oldest job that is due.", "queue")
jobs_dead = _gauge("jobs_dead", "Jobs that gave up, kept for people.")
jobs_wakeups = _counter(
    "jobs_wakeups",
    "Wake-ups and hints by outcome: sent, dropped (Redis away, queue full), failed.",
    "outcome",
)
jobs_leases_lost = _counter(
    "jobs_leases_lost",
    "Leases that expired (reaped) or were found taken over (fenced).",
    "cause",
)

for how in ("reaped", "fenced"):
    jobs_leases_lost.labels(how)

# Security.
signing_key_age = _gauge(
    "signing_key_age_seconds", "Age of the key that signs tokens; not a number where it is unknown."
)

# Telemetry itself.
exported_spans = _counter(
    "telemetry_spans",
    "Recorded spans by outcome: sent, failed (the collector did not take them), dropped (queue full).",
    "outcome",
)


@contextmanager
def track_wait(pool: str, refusal: type[Exception] = Overloaded) -> Iterator[None]:
    """Around the wait for some of `pool`; `refusal` says that there was none."""
    waiting = pool_waiting.labels(pool)
    waiting.inc()
    started = time.perf_counter()
    try:
        yield
    except refusal:
        pool_exhausted.labels(pool).inc()
        raise
    finally:
        waiting.dec()
        pool_wait.labels(pool).observe(time.perf_counter() - started)


def register_pool(name: str, size: int, in_use: Callable[[], float]) -> None:
    """Exposes a bounded resource of this process; `in_use` is asked at each scrape."""
    pool_size.labels(name).set(size)
    pool_exhausted.labels(name)  # exposed from 0 on: a first event that is not seen rising is lost
    pool_in_use.labels(name).set_function(in_use)


# prometheus-fastapi-instrumentator gives names and labels, and keeps what a service measures beyond
# rate and duration: `instrumentator.add(…)`. Its middleware is not used: it matches every route a
# second time and builds a Request, a Response and a gather for each request, which costs more than
# all our layers together.
instrumentator = Instrumentator(registry=REGISTRY, should_group_status_codes=False)

# Bounded by the routes: methods and handlers come from lists of ours. `labels()` takes a lock and
# builds a tuple of strings at each call, which is more than the increment costs.
_children: dict[tuple[str, int, str], tuple[Counter, Histogram]] = {}


def observe_request(
    scope: Scope,
    *,
    method: str,
    handler: str,
    status: int,
    seconds: float,
    seconds_to_answer: float,
) -> None:
    """Counts one served request; `handler` is its route's template."""
    counts.requests += 1
    if status >= 500:  # noqa: PLR2004 - the class of server errors
        counts.errors += 1
    key = (method, status, handler)
    children = _children.get(key)
    if children is None:
        children = _children[key] = (
            http_requests.labels(method, str(status), handler),
            http_request_duration.labels(method, handler),
        )
    children[0].inc()
    observe_with_trace(children[1], seconds_to_answer)
    if instrumentator.instrumentations:
        info = Info(Request(scope), None, method, handler, str(status), seconds, seconds_to_answer)
        for instrumentation in instrumentator.instrumentations:
            instrumentation(info)


def observe_with_trace(histogram: Histogram, value: float) -> None:
    """Observes `value`, with the trace in hand as its exemplar where that is recorded."""
    context = current_request()
    if context is not None and context.sampled and context.trace_id is not None:
        histogram.observe(value, {"trace_id": context.trace_id})
    else:
        histogram.observe(value)


def render(accept: str = "") -> tuple[bytes, str]:
    """The exposition and its content type, OpenMetrics with exemplars where `accept` asks."""
    encode, content_type = choose_encoder(accept)
    return encode(REGISTRY), content_type
