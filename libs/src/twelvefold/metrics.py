"""The process's Prometheus registry and every metric that the suite exposes.

One place, so that names and labels are chosen once. Labels never hold ids, addresses or raw
paths: their values must be few and known. One process per registry; PROMETHEUS_MULTIPROC_DIR is
never used (it drops exemplars).
"""

from __future__ import annotations

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

from .http.context import current_request

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

# Seconds. Around the limits that matter: a cache hit, a database read, the request timeout.
DURATION_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
JOB_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0)

UNMATCHED = "none"  # the handler label of requests without a route, as the instrumentator has it


@dataclass(slots=True)
class Counts:
    """What /info says about the requests of this process."""

    requests: int = 0
    errors: int = 0
    active: int = 0


counts = Counts()

# Served requests (rate, errors, duration), by method and route template. Names and labels are
# those of prometheus-fastapi-instrumentator, so that dashboards made for it fit.
http_requests = Counter(
    "http_requests",
    "Requests by method, route template and status.",
    ("method", "status", "handler"),
    registry=REGISTRY,
)
http_request_duration = Histogram(
    "http_request_duration_seconds",
    "Time until the answer begins, by method and route template.",
    ("method", "handler"),
    buckets=DURATION_BUCKETS,
    registry=REGISTRY,
)
Gauge("http_requests_inprogress", "Requests being served now.", registry=REGISTRY).set_function(
    lambda: counts.active
)
http_requests_refused = Counter(
    "http_requests_refused",
    "Requests refused by a bound: concurrency, timeout, body, rate.",
    ("reason",),
    registry=REGISTRY,
)

event_loop_lag = Histogram(
    "event_loop_lag_seconds",
    "How late the event loop was, looked at some times a second.",
    buckets=LAG_BUCKETS,
    registry=REGISTRY,
)

# Calls to other services.
client_requests = Histogram(
    "client_request_duration_seconds",
    "Duration of calls to another service; outcome is the status class, `timeout` or `error`.",
    ("peer", "outcome"),
    buckets=DURATION_BUCKETS,
    registry=REGISTRY,
)

# Backing services.
backing_up = Gauge(
    "backing_service_up", "Whether the last ping was answered.", ("name",), registry=REGISTRY
)
cache_requests = Counter(
    "cache_requests",
    "Reads (hit, miss, negative) and writes (set, stale) of the cache; either may be unavailable.",
    ("outcome",),
    registry=REGISTRY,
)

# Spans.
exported_spans = Counter(
    "telemetry_spans",
    "Recorded spans by fate: sent, failed (the collector did not take them), dropped (queue full).",
    ("fate",),
    registry=REGISTRY,
)

# Durable jobs.
jobs_enqueued = Counter("jobs_enqueued", "Jobs inserted, by kind.", ("kind",), registry=REGISTRY)
jobs_finished = Counter(
    "jobs_finished",
    "Runs of jobs that ended, by kind and the state that they left.",
    ("kind", "status"),
    registry=REGISTRY,
)
job_duration = Histogram(
    "job_duration_seconds", "Duration of runs.", ("kind",), buckets=JOB_BUCKETS, registry=REGISTRY
)
jobs_running = Gauge("jobs_running", "Jobs running in this process.", ("kind",), registry=REGISTRY)
jobs_due = Gauge("jobs_due", "Jobs due and not claimed.", ("queue",), registry=REGISTRY)
jobs_queue_age = Gauge(
    "jobs_queue_age_seconds", "Age of the oldest job that is due.", ("queue",), registry=REGISTRY
)
jobs_rings = Counter(
    "jobs_rings",
    "Wake-ups and hints by fate: sent, dropped (Redis away, queue full), failed.",
    ("fate",),
    registry=REGISTRY,
)
jobs_leases_lost = Counter(
    "jobs_leases_lost",
    "Leases that expired (reaped) or were found taken over (fenced).",
    ("how",),
    registry=REGISTRY,
)
jobs_dead = Gauge("jobs_dead", "Jobs that gave up, kept for people.", registry=REGISTRY)
mails_sent = Counter("mails_sent", "Mails by outcome.", ("outcome",), registry=REGISTRY)


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
