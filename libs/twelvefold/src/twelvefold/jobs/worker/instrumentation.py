"""Log line, metrics and span of one run of a job."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from opentelemetry.trace import Status, StatusCode

from twelvefold.context import RequestContext, accept_request_id, request_context
from twelvefold.jobs.model import Claim, JobStatus
from twelvefold.observability import metrics, telemetry

# Results whose span has the status error; None: the lease was lost.
_ERROR_STATUSES = frozenset({JobStatus.FAILED, JobStatus.DEAD, JobStatus.REJECTED, None})
_log = structlog.get_logger(__name__)


class RunObservation:
    """Holder of the status in which the run left the job; None: the lease was lost."""

    def __init__(self) -> None:
        self.status: JobStatus | None = None


@contextmanager
def instrument_job(claim: Claim) -> Iterator[RunObservation]:
    """Continue the request that enqueued the job: its request id and its trace."""
    kind = claim.kind  # a registered one, so the values of the label are few
    observation = RunObservation()
    attributes: dict[str, str | int | float] = {
        "job.id": str(claim.id),
        "job.kind": kind,
        "job.attempt": claim.attempts + 1,
        "job.claim": claim.claim_no,
        "job.waited_seconds": round(claim.waited, 6),
    }
    context = RequestContext(
        request_id=accept_request_id(claim.request_id),
        log_fields={"job_id": str(claim.id), "job_kind": claim.kind},
    )
    started = time.perf_counter()
    metrics.jobs_running.labels(kind).inc()
    with (
        request_context(context),
        telemetry.resume_trace(f"job {kind}", claim.trace_context, attributes=attributes) as span,
    ):
        ids = span.get_span_context()
        context.trace_id, context.span_id = f"{ids.trace_id:032x}", f"{ids.span_id:016x}"
        context.sampled = span.is_recording()
        span.set_attribute("request_id", context.request_id)
        metrics.observe_with_trace(metrics.job_start_delay.labels(kind), claim.waited)
        try:
            yield observation
        finally:
            elapsed = time.perf_counter() - started
            status = observation.status.value if observation.status else "lost"
            span.set_attribute("job.status", status)
            if observation.status in _ERROR_STATUSES:
                span.set_status(Status(StatusCode.ERROR, status))
            metrics.jobs_running.labels(kind).dec()
            metrics.jobs_finished.labels(kind, status).inc()
            if observation.status is not None and observation.status.is_terminal:
                metrics.job_attempts.labels(kind).observe(claim.attempts + 1)
            metrics.observe_with_trace(metrics.job_duration.labels(kind), elapsed)
            _log.info(
                "job_run",
                status=status,
                attempt=claim.attempts + 1,
                claim_no=claim.claim_no,
                principal=str(claim.owner_id) if claim.owner_id else None,
                duration_ms=round(elapsed * 1000, 1),
                waited_ms=round(claim.waited * 1000, 1),
            )
