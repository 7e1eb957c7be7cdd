"""The process's Prometheus registry and every metric of the suite.

Labels never hold ids, addresses or raw paths: their values must be few and known. Each process has
its own registry; PROMETHEUS_MULTIPROC_DIR is not used, because it drops exemplars.
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

# Seconds, around the times that matter: a cache hit, a database read, the request timeout.
DURATION_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
WAIT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
JOB_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0)
ATTEMPT_BUCKETS = (1, 2, 3, 5, 10, 30, 100)

UNMATCHED = "none"  # the label `handler` of requests without a route, as the instrumentator sets it


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """One metric of the suite, for the reference page."""

    name: str  # as exposed, without the suffixes of a histogram
    kind: str
    labels: tuple[str, ...]
    help: str


CATALOGUE: list[MetricInfo] = []


def counter(name: str, text: str, *labels: str) -> Counter:
    """Return a new counter, exposed as `<name>_total`; a service makes its own in its package."""
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
    """The request counts of this process that /info shows."""

    requests: int = 0
    errors: int = 0
    active: int = 0


counts = RequestCounts()

build_info = _gauge(
    "twelvefold_build_info",
    "Always 1; the labels name the running service and its version.",
    "service",
    "version",
)

# Served requests (rate, errors, duration), by method and route template. Names and labels are
# those of prometheus-fastapi-instrumentator, so that its dashboards work.
http_requests = counter(
    "http_requests",
    "Requests by method, route template and status.",
    *("method", "status", "handler"),
)
http_request_duration = _histogram(
    "http_request_duration_seconds",
    "Seconds until the response begins, by method and route template.",
    *("method", "handler"),
    buckets=DURATION_BUCKETS,
)
_gauge("http_requests_inprogress", "Requests in progress.").set_function(lambda: counts.active)
http_requests_refused = counter(
    "http_requests_refused",
    "Requests refused by a limit: concurrency, connections, timeout, head, body, unread, rate.",
    "reason",
)
for reason in ("concurrency", "connections", "timeout", "head", "body", "unread", "rate"):
    http_requests_refused.labels(reason)
rate_limit_refused = counter(
    "rate_limit_refused", "Requests refused because their quota was used up.", "policy"
)
rate_limit_local = counter(
    "rate_limit_local", "Requests counted in this process alone because Redis was unavailable."
)

event_loop_lag = _histogram(
    "event_loop_lag_seconds",
    "Delay of the event loop in seconds, measured several times a second.",
    buckets=LAG_BUCKETS,
)

# Bounded resources (utilisation, saturation, errors): connections, threads, slots, queues.
pool_size = _gauge("pool_size", "Capacity of the pool.", "pool")
pool_in_use = _gauge("pool_in_use", "Slots of the pool in use.", "pool")
pool_waiting = _gauge("pool_waiting", "Callers waiting for a slot of the pool.", "pool")
pool_wait = _histogram(
    "pool_wait_seconds",
    "Seconds spent waiting for a slot of the pool.",
    "pool",
    buckets=WAIT_BUCKETS,
)
pool_exhausted = counter(
    "pool_exhausted", "Callers that got no slot of the pool, at once or after waiting.", "pool"
)

# Calls to other services.
client_requests = _histogram(
    "client_request_duration_seconds",
    "Seconds of a call to another service; outcome is the status class, `timeout` or `error`.",
    *("peer", "outcome"),
    buckets=DURATION_BUCKETS,
)

# Backing services.
backing_up = _gauge("backing_service_up", "1 if the last ping succeeded, else 0.", "name")
dependency_refused = counter(
    "dependency_refused",
    "Calls not made: circuit breaker open (`unavailable`) or too many calls in progress (`full`).",
    *("name", "reason"),
)
cache_requests = counter(
    "cache_requests",
    "Cache reads (hit, miss, negative) and writes (set, stale); both may be unavailable.",
    "outcome",
)
mails_sent = counter("mails_sent", "Emails by outcome: sent, rejected, failed.", "outcome")

# Durable jobs.
jobs_enqueued = counter("jobs_enqueued", "Jobs inserted, by kind.", "kind")
jobs_finished = counter(
    "jobs_finished",
    "Runs that ended, by kind and by the job's status after the run.",
    "kind",
    "status",
)
job_duration = _histogram("job_duration_seconds", "Seconds of a run.", "kind", buckets=JOB_BUCKETS)
job_start_delay = _histogram(
    "job_start_delay_seconds",
    "Seconds from the time when a job was due to its claim: the delay of the outbox.",
    "kind",
    buckets=JOB_BUCKETS,
)
job_attempts = _histogram(
    "job_attempts", "Attempts of a job when it ended.", "kind", buckets=ATTEMPT_BUCKETS
)
jobs_running = _gauge("jobs_running", "Jobs running in this process.", "kind")
jobs_open = _gauge(
    "jobs_open", "Jobs that have not ended, and dead jobs, by kind and status.", "kind", "status"
)
jobs_due = _gauge("jobs_due", "Jobs that are due and not claimed.", "queue")
jobs_queue_age = _gauge(
    "jobs_queue_age_seconds", "Seconds since the oldest due job became due.", "queue"
)
jobs_dead = _gauge("jobs_dead", "Jobs out of attempts, kept for an operator.")
jobs_wakeups = counter(
    "jobs_wakeups",
    "Wake-ups by outcome: sent, dropped (Redis unavailable or buffer full), failed.",
    "outcome",
)
jobs_leases_lost = counter(
    "jobs_leases_lost",
    "Leases that expired (reaped) or that another worker had taken over (fenced).",
    "cause",
)

for cause in ("reaped", "fenced"):
    jobs_leases_lost.labels(cause)

# Security.
signing_key_age = _gauge(
    "signing_key_age_seconds", "Age of the key that signs tokens; NaN if unknown."
)

# Telemetry itself.
exported_spans = counter(
    "telemetry_spans",
    "Recorded spans by outcome: sent, failed (refused by the collector), dropped (queue full).",
    "outcome",
)


@contextmanager
def track_wait(pool: str, refusal: type[Exception] = Overloaded) -> Iterator[None]:
    """Measure the wait for a slot of `pool`; `refusal` counts as a time-out of the wait."""
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
    """Expose a bounded resource of this process; each scrape calls `in_use`."""
    pool_size.labels(name).set(size)
    pool_exhausted.labels(name)  # `increase()` misses a first event that was not exposed as 0
    pool_in_use.labels(name).set_function(in_use)


# prometheus-fastapi-instrumentator gives names and labels, and holds a service's own measurements
# (`instrumentator.add`). Its middleware is not used: it matches every route a second time and
# builds a Request, a Response and a gather for each request, which costs more than all other
# middleware of the suite together.
instrumentator = Instrumentator(registry=REGISTRY, should_group_status_codes=False)

# Bounded by the routes: methods and handlers are known values. `labels()` takes a lock and builds a
# tuple of strings at each call, which costs more than the increment.
_children: dict[tuple[str, int, str], tuple[Counter, Histogram]] = {}


def observe_request(
    scope: Scope,
    *,
    method: str,
    handler: str,
    status: int,
    seconds: float,
    seconds_to_response: float,
) -> None:
    """Count one served request; `handler` is its route's template."""
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
    observe_with_trace(children[1], seconds_to_response)
    if instrumentator.instrumentations:
        info = Info(
            Request(scope), None, method, handler, str(status), seconds, seconds_to_response
        )
        for instrumentation in instrumentator.instrumentations:
            instrumentation(info)


def observe_with_trace(histogram: Histogram, value: float) -> None:
    """Observe `value`, with the current trace as its exemplar if that is sampled."""
    context = current_request()
    if context is not None and context.sampled and context.trace_id is not None:
        histogram.observe(value, {"trace_id": context.trace_id})
    else:
        histogram.observe(value)


def render(accept: str = "") -> tuple[bytes, str]:
    """Return the exposition and its content type: OpenMetrics if `accept` prefers it."""
    encode, content_type = choose_encoder(accept)
    return encode(REGISTRY), content_type
