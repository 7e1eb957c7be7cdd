"""One run of one job: decode the payload, call the handler under its timeout, build the outcome.

Owns the mapping from errors to states. `runner` decides when a job runs, `settlement` writes the
outcome.
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
from twelvefold.jobs.model import Claim, Completion, JobStatus, LeaseLost, Settlement
from twelvefold.jobs.retry_policy import Backoff

from .context import JobContext
from .registry import Registration

MAX_RESULT_BYTES = 65_536
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_CANCEL_RETRY_INTERVAL = 1.0  # seconds until a handler that ignored a cancellation gets another
_UNUSABLE_BACKOFF = Backoff(base=10.0, cap=60.0)
_log = structlog.get_logger(__name__)


class _RunTimeout(Exception):
    """The run exceeded the timeout of its kind."""


class StopReason(StrEnum):
    """Why a handler was cancelled from outside."""

    CANCELLED = "cancelled"  # the cancellation of the job was requested
    LEASE_LOST = "lost"  # another worker has the lease
    LEASE_EXPIRED = "lapsed"  # the lease could not be renewed in time
    SHUTDOWN = "shutdown"  # this process stops
    TIMED_OUT = "late"  # the run exceeded its timeout


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """The settlement of a run, and effects that run in its transaction."""

    settlement: Settlement
    effects: Callable[[Transaction], Awaitable[None]] | None = None


class JobRun:
    """A running handler, and the reason for which it was stopped, if any."""

    def __init__(self, claim: Claim, job: JobContext) -> None:
        self.claim = claim
        self.job = job
        self.stop_reason: StopReason | None = None
        self._task: asyncio.Task[Any] | None = None

    def stop(self, reason: StopReason) -> None:
        """Cancel the handler. The first reason is kept, but a lost lease replaces any other."""
        if self.stop_reason is None or reason is StopReason.LEASE_LOST:
            self.stop_reason = reason
        self._cancel()

    def _cancel(self) -> None:
        # Repeated, because a handler can lose a cancellation (see `twelvefold.tasks`).
        if self._task is not None and not self._task.done():
            self._task.cancel()
            asyncio.get_running_loop().call_later(_CANCEL_RETRY_INTERVAL, self._cancel)

    async def run(self, registration: Registration[Any]) -> JobOutcome | None:
        """Run the handler. Return None if the lease is lost: then nothing may be written."""
        try:
            payload = registration.kind.payload.model_validate(self.claim.payload)
        except ValidationError as error:
            return self._defer_unusable(f"undecodable payload: {_invalid_fields(error)}")
        if self.stop_reason is None:
            self._task = asyncio.create_task(
                _call_handler(registration, self.job, payload), name=f"job-{self.claim.id}"
            )
            await asyncio.wait([self._task], timeout=registration.kind.timeout)
            if not self._task.done():
                self.stop(StopReason.TIMED_OUT)
                await asyncio.wait([self._task])
        return self._evaluate(registration)

    def _evaluate(self, registration: Registration[Any]) -> JobOutcome | None:
        if self.stop_reason is StopReason.LEASE_LOST:
            return None
        if self._task is None or self._task.cancelled():
            return self._evaluate_stop(registration)
        error = self._task.exception()
        if error is None:
            return self._succeed(registration, self._task.result())
        if isinstance(error, LeaseLost):
            return None
        if self.stop_reason is not None and self.stop_reason is not StopReason.TIMED_OUT:
            # The handler was cancelled and failed during its cleanup.
            return self._evaluate_stop(registration)
        if isinstance(error, Rejected):
            return self._make_outcome(JobStatus.REJECTED, error=error.detail)
        return self.fail(registration, error)

    def _succeed(self, registration: Registration[Any], value: Any) -> JobOutcome:
        effects = None
        result: Mapping[str, Any] | None = value
        if isinstance(value, Completion):
            effects, result = value.effects, value.result
        try:
            encoded = encode_result(result)
        except (TypeError, ValueError) as error:
            return self.fail(registration, error)
        return self._make_outcome(JobStatus.SUCCEEDED, result=encoded, effects=effects)

    def fail(self, registration: Registration[Any], error: BaseException) -> JobOutcome:
        """Return a retry with backoff, or `dead` after the last attempt."""
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
            exc_info=None if isinstance(error, (TwelvefoldError, _RunTimeout)) else error,
        )
        return self._make_outcome(
            JobStatus.DEAD if attempts >= limit else JobStatus.FAILED,
            error=text,
            attempts=1,
            delay=kind.backoff.delay(attempts, at_least=pause),
        )

    def _evaluate_stop(self, registration: Registration[Any]) -> JobOutcome:
        if self.stop_reason is StopReason.CANCELLED:
            return self._make_outcome(JobStatus.CANCELLED)
        if self.stop_reason is StopReason.TIMED_OUT:
            return self.fail(
                registration, _RunTimeout(f"not done within {registration.kind.timeout:g} s")
            )
        if self.stop_reason is not None:
            return self._release()
        # No stop was requested: the handler cancelled itself, which is its error.
        return self.fail(registration, RuntimeError("the handler cancelled itself"))

    def _release(self) -> JobOutcome:
        """Return the job to the queue at once without counting an attempt."""
        return self._make_outcome(self._waiting_status)

    def _defer_unusable(self, reason: str) -> JobOutcome:
        _log.warning("job_unusable", reason=reason)
        delay = _UNUSABLE_BACKOFF.delay(min(self.claim.claim_no, 10), at_least=1.0)
        return self._make_outcome(self._waiting_status, error=reason, delay=delay, unusable=True)

    @property
    def _waiting_status(self) -> JobStatus:
        claim = self.claim
        return JobStatus.FAILED if claim.attempts or claim.crashes else JobStatus.QUEUED

    def _make_outcome(
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
            self.claim, status, result, _sanitize(error), delay, attempts, unusable
        )
        return JobOutcome(settlement, effects)


async def _call_handler(registration: Registration[Any], job: JobContext, payload: Any) -> Any:
    # A task needs a coroutine, but a handler may return any awaitable.
    return await registration.handler(job, payload)


def encode_result(result: Mapping[str, Any] | None) -> str | None:
    """Return the result as JSON that PostgreSQL accepts.

    Raises TypeError or ValueError for values that JSON or `jsonb` cannot hold, and for more than
    `MAX_RESULT_BYTES` bytes.
    """
    if result is None:
        return None
    encoded = json.dumps(dict(result), separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    if len(encoded.encode()) > MAX_RESULT_BYTES:  # also rejects lone surrogates
        raise ValueError(f"the result has more than {MAX_RESULT_BYTES} bytes")
    if _ESCAPED_NUL.search(encoded):
        raise ValueError("the result contains a NUL character")
    return encoded


def describe(error: BaseException) -> str:
    """Return the error text for the job's owner.

    Messages of foreign errors may quote secrets: only their class is named.
    """
    if isinstance(error, TwelvefoldError):
        return error.detail
    if isinstance(error, _RunTimeout):
        return str(error)
    return f"internal error ({type(error).__name__})"


def _retry_after(error: BaseException) -> float:
    if isinstance(error, Unavailable):
        value = error.headers.get("Retry-After", "")
        return float(value) if value.isdecimal() else 0.0
    return 0.0


def _sanitize(error: str | None) -> str | None:
    if error is None:
        return None
    return error.replace("\x00", "").encode(errors="replace").decode()[:1000]


def _invalid_fields(error: ValidationError) -> str:
    # Names of fields without their values: the payload may contain personal data.
    fields = {".".join(str(part) for part in detail["loc"]) or "/" for detail in error.errors()}
    return ", ".join(sorted(fields))
