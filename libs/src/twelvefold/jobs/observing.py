"""What one run of a job leaves in logs, metrics and traces."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from twelvefold import metrics, telemetry
from twelvefold.http.context import RequestContext, request_context, request_id_from

from .claim import Claim
from .contract import JobStatus

_log = structlog.get_logger(__name__)


class Observed:
    """How the run ended, once that is known. No status: the lease was lost."""

    def __init__(self) -> None:
        self.status: JobStatus | None = None

    def ended(self, status: JobStatus | None) -> None:
        self.status = status


@contextmanager
def in_job(claim: Claim, kind: str) -> Iterator[Observed]:
    """The run continues the request that asked for it: its id, and a span that links to its trace.

    `kind` is a label: of the kinds that we know, or `unknown`.
    """
    observed = Observed()
    context = RequestContext(
        request_id=request_id_from(claim.request_id),
        log_fields={"job_id": str(claim.id), "job_kind": claim.kind},
    )
    started = time.perf_counter()
    metrics.jobs_running.labels(kind).inc()
    with (
        request_context(context),
        telemetry.span_from_carrier(
            f"job {kind}",
            claim.trace_context,
            attributes={"job.id": str(claim.id), "job.kind": kind, "job.claim": claim.claim_no},
        ),
    ):
        try:
            yield observed
        finally:
            elapsed = time.perf_counter() - started
            status = observed.status.value if observed.status else "lost"
            metrics.jobs_running.labels(kind).dec()
            metrics.jobs_finished.labels(kind, status).inc()
            metrics.job_duration.labels(kind).observe(elapsed)
            _log.info(
                "job_run",
                status=status,
                claim_no=claim.claim_no,
                duration_ms=round(elapsed * 1000, 1),
                waited_ms=round(claim.waited * 1000, 1),
            )
