"""One run of one job: decode, call the handler under its timeout, say how it ended.

Owns what a handler sees of its job and how errors become states. Not when a job runs, nor how
the outcome is written: those are the runner's and the lease's.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog
from opentelemetry import trace
from pydantic import ValidationError

from twelvefold.database.database import Transaction
from twelvefold.errors import Rejected, TwelvefoldError, Unavailable
from twelvefold.jobs.claim import Claim, LeaseLost, Settlement
from twelvefold.jobs.model import Backoff, Completion, JobStatus

from .context import JobContext
from .registry import Registration

MAX_RESULT_BYTES = 65_536
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_CANCEL_RETRY_INTERVAL = (
    1.0  # seconds after which a handler that was cancelled and goes on is cancelled again
)
_UNUSABLE_BACKOFF = Backoff(base=10.0, cap=60.0)
_log = structlog.get_logger(__name__)


class _RunTooLong(Exception):
    """The kind's timeout has passed."""


class StopReason(StrEnum):
    """Why a handler was cancelled from outside."""

    CANCELLED = "cancelled"  # somebody asked for it
    LEASE_LOST = "lost"  # the lease is somebody else's
    LEASE_EXPIRED = "lapsed"  # the lease could not be extended in time
    SHUTDOWN = "shutdown"  # this process ends
    TIMED_OUT = "late"  # its time is over


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a run ended: the settlement, and effects that belong into its transaction."""

    settlement: Settlement
    effects: Callable[[Transaction], Awaitable[None]] | None = None


class JobRun:
    """A handler at work, and why it was stopped if it was."""

    def __init__(self, claim: Claim, job: JobContext) -> None:
        self.claim = claim
        self.job = job
        self.stopped: StopReason | None = None
        self._task: asyncio.Task[Any] | None = None

    def stop(self, why: StopReason) -> None:
        """Cancels the handler. The first reason stays, but a lost lease outranks the others."""
        if self.stopped is None or why is StopReason.LEASE_LOST:
            self.stopped = why
        self._cancel()

    def _cancel(self) -> None:
        # Again and again: a cancellation can get lost on its way (see `twelvefold.tasks`).
        if self._task is not None and not self._task.done():
            self._task.cancel()
            asyncio.get_running_loop().call_later(_CANCEL_RETRY_INTERVAL, self._cancel)

    async def run(self, registration: Registration[Any] | None) -> JobOutcome | None:
        """Runs the handler. None where the lease is lost: nothing is to be written."""
        if registration is None:
            return self._unusable("no handler for this kind here")
        try:
            payload = registration.kind.payload.model_validate(self.claim.payload)
        except ValidationError as error:
            return self._unusable(f"undecodable payload: {_places(error)}")
        if self.stopped is None:
            self._task = asyncio.create_task(
                _handled(registration, self.job, payload), name=f"job-{self.claim.id}"
            )
            await asyncio.wait([self._task], timeout=registration.kind.timeout)
            if not self._task.done():
                self.stop(StopReason.TIMED_OUT)
                await asyncio.wait([self._task])
        return self._ended(registration)

    def _ended(self, registration: Registration[Any]) -> JobOutcome | None:
        if self.stopped is StopReason.LEASE_LOST:
            return None
        if self._task is None or self._task.cancelled():
            return self._cut_short(registration)
        error = self._task.exception()
        if error is None:
            return self._succeeded(registration, self._task.result())
        if isinstance(error, LeaseLost):
            return None
        if self.stopped is not None and self.stopped is not StopReason.TIMED_OUT:
            # It was cancelled and fell over its own cleaning up.
            return self._cut_short(registration)
        if isinstance(error, Rejected):
            return self._as(JobStatus.REJECTED, error=error.detail)
        return self.failed(registration, error)

    def _succeeded(self, registration: Registration[Any], outcome: Any) -> JobOutcome:
        effects = None
        result: Mapping[str, Any] | None = outcome
        if isinstance(outcome, Completion):
            effects, result = outcome.effects, outcome.result
        try:
            encoded = encode_result(result)
        except (TypeError, ValueError) as error:
            return self.failed(registration, error)
        return self._as(JobStatus.SUCCEEDED, result=encoded, effects=effects)

    def failed(self, registration: Registration[Any], error: BaseException) -> JobOutcome:
        """Tried again later, unless that was the last attempt."""
        kind = registration.kind
        attempts = self.claim.attempts + 1
        limit = self.claim.max_attempts or kind.max_attempts
        pause = _retry_after(error)
        text = describe(error)
        trace.get_current_span().record_exception(error)
        _log.warning(
            "job_failed",
            attempt=attempts,
            max_attempts=limit,
            error=text,
            exc_info=None if isinstance(error, (TwelvefoldError, _RunTooLong)) else error,
        )
        return self._as(
            JobStatus.DEAD if attempts >= limit else JobStatus.FAILED,
            error=text,
            attempts=1,
            delay=kind.backoff.delay(attempts, at_least=pause),
        )

    def _cut_short(self, registration: Registration[Any]) -> JobOutcome:
        if self.stopped is StopReason.CANCELLED:
            return self._as(JobStatus.CANCELLED)
        if self.stopped is StopReason.TIMED_OUT:
            return self.failed(
                registration, _RunTooLong(f"not done within {registration.kind.timeout:g} s")
            )
        if self.stopped is not None:
            return self.released()
        # Nobody stopped it: the handler cancelled itself, which is an error of its own.
        return self.failed(registration, RuntimeError("cancelled from inside"))

    def released(self) -> JobOutcome:
        """Given back at once, as if it had never been claimed."""
        return self._as(self._waiting)

    def _unusable(self, reason: str) -> JobOutcome:
        _log.warning("job_unusable", reason=reason)
        delay = _UNUSABLE_BACKOFF.delay(min(self.claim.claim_no, 10), at_least=1.0)
        return self._as(self._waiting, error=reason, delay=delay, unusable=True)

    @property
    def _waiting(self) -> JobStatus:
        claim = self.claim
        return JobStatus.FAILED if claim.attempts or claim.crashes else JobStatus.QUEUED

    def _as(
        self,
        status: JobStatus,
        *,
        result: str | None = None,
        error: str | None = None,
        delay: float = 0.0,
        attempts: int = 0,
        unusable: bool = False,
        effects: Callable[[Transaction], Awaitable[None]] | None = None,
    ) -> JobOutcome:
        settlement = Settlement(
            self.claim, status, result, _storable(error), delay, attempts, unusable
        )
        return JobOutcome(settlement, effects)


async def _handled(registration: Registration[Any], job: JobContext, payload: Any) -> Any:
    # A coroutine of our own: a handler may be any awaitable's function.
    return await registration.handler(job, payload)


def encode_result(result: Mapping[str, Any] | None) -> str | None:
    """JSON that PostgreSQL takes. Raises TypeError or ValueError for what it would not."""
    if result is None:
        return None
    encoded = json.dumps(dict(result), separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    if len(encoded.encode()) > MAX_RESULT_BYTES:  # refuses lone surrogates, too
        raise ValueError(f"the result has more than {MAX_RESULT_BYTES} bytes")
    if _ESCAPED_NUL.search(encoded):
        raise ValueError("the result holds a NUL character")
    return encoded


def describe(error: BaseException) -> str:
    """What the job's owner may read. Foreign errors may quote anything: only their class is told."""
    if isinstance(error, TwelvefoldError):
        return error.detail
    if isinstance(error, _RunTooLong):
        return str(error)
    return f"internal error ({type(error).__name__})"


def _retry_after(error: BaseException) -> float:
    if isinstance(error, Unavailable):
        value = error.headers.get("Retry-After", "")
        return float(value) if value.isdecimal() else 0.0
    return 0.0


def _storable(error: str | None) -> str | None:
    if error is None:
        return None
    return error.replace("\x00", "").encode(errors="replace").decode()[:1000]


def _places(error: ValidationError) -> str:
    # Where, never what: the payload may hold ids of people.
    places = {".".join(str(part) for part in detail["loc"]) or "/" for detail in error.errors()}
    return ", ".join(sorted(places))
