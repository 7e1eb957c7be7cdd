"""The process's Prometheus registry and every metric that the suite exposes.

One place, so that names and labels are chosen once. Labels never hold ids, addresses or raw
paths: their values must be few and known. One process per registry; PROMETHEUS_MULTIPROC_DIR is
never used (it drops exemplars).
"""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

# Seconds. Around the limits that matter: a cache hit, a database read, the request timeout.
DURATION_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
JOB_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0)

# Served requests (rate, errors, duration), by method and route template.
http_requests = Counter(
    "http_requests",
    "Requests by method, route template and status.",
    ("method", "handler", "status"),
    registry=REGISTRY,
)
http_request_duration = Histogram(
    "http_request_duration_seconds",
    "Duration of requests by method and route template, until the last byte is handed over.",
    ("method", "handler"),
    buckets=DURATION_BUCKETS,
    registry=REGISTRY,
)
http_requests_in_progress = Gauge(
    "http_requests_in_progress", "Requests being served now.", registry=REGISTRY
)
http_requests_refused = Counter(
    "http_requests_refused",
    "Requests refused by a bound of the process: concurrency, timeout, body.",
    ("reason",),
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
jobs_dead = Gauge("jobs_dead", "Jobs that gave up, kept for people.", registry=REGISTRY)
mails_sent = Counter("mails_sent", "Mails by outcome.", ("outcome",), registry=REGISTRY)


def render(accept: str = "") -> tuple[bytes, str]:
    """The exposition and its content type, OpenMetrics with exemplars where `accept` asks."""
    encode, content_type = choose_encoder(accept)
    return encode(REGISTRY), content_type
