"""One run of one job: decode, call the handler under its timeout, say how it ended.

Owns what a handler sees of its job and how errors become states. Not when a job runs, nor how
the outcome is written: those are the runner's and the lease's.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import structlog
from opentelemetry import trace
from pydantic import ValidationError

from twelvefold.database import Database, Transaction
from twelvefold.errors import Rejected, TwelvefoldError, Unavailable

from .claim import Claim, LeaseLost, Settlement
from .contract import Backoff, Completion, JobStatus, Registration
from .lease import Leases

MAX_RESULT_BYTES = 65_536
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_NUDGE = 1.0  # seconds after which a handler that was cancelled and goes on is cancelled again
_UNUSABLE_BACKOFF = Backoff(base=10.0, cap=60.0)
_log = structlog.get_logger(__name__)


class _RunTooLong(Exception):
    """The kind's timeout has passed."""


class Stop(StrEnum):
    """Why a handler was cancelled from outside."""

    CANCELLED = "cancelled"  # somebody asked for it
    LOST = "lost"  # the lease is somebody else's
    LAPSED = "lapsed"  # the lease could not be extended in time
    SHUTDOWN = "shutdown"  # this process ends
    LATE = "late"  # its time is over


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: the settlement, and effects that belong into its transaction."""

    settlement: Settlement
    effects: Callable[[Transaction], Awaitable[None]] | None = None


class Job:
    """What a handler knows of its job. Keys of effects outside derive from `id`."""

    def __init__(
        self,
        claim: Claim,
        *,
        leases: Leases,
        database: Database,
        changed: Callable[[UUID, int], None],
        held_until: float,
        progress_interval: float = 0.5,
    ) -> None:
        self._claim = claim
        self._leases = leases
        self._database = database
        self._changed = changed
        self._progress_interval = progress_interval
        self._progressed_at = float("-inf")
        # Of `time.monotonic`; moved on by every heartbeat that was answered.
        self.held_until = held_until

    @property
    def id(self) -> UUID:
        return self._claim.id

    @property
    def owner_id(self) -> UUID | None:
        return self._claim.owner_id

    @property
    def created_at(self) -> datetime:
        return self._claim.created_at

    @property
    def attempt(self) -> int:
        """1 for the first run, counting those that ended in an error."""
        return self._claim.attempts + 1

    def ensure_held(self) -> None:
        """Raises LeaseLost once the lease may have expired: ask before an effect outside."""
        if time.monotonic() >= self.held_until:
            raise LeaseLost

    async def progress(self, percent: int) -> None:
        """Shows how far the job is (0 to 100). What comes too soon after the last is left out."""
        now = time.monotonic()
        if now - self._progressed_at < self._progress_interval:
            return
        self._progressed_at = now
        version = await self._leases.progress(self._claim, max(0, min(100, percent)))
        if version is not None:
            self._changed(self.id, version)

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[Transaction | None]:
        """A transaction for an effect in the worker's own schema that happens once in the job's life.

        None where an earlier run has done the step. Raises LeaseLost, and then nothing of it stays.
        """
        async with self._database.transaction() as unit:
            await self._leases.hold(unit, self._claim)
            first = await self._leases.first_time(unit, self._claim, name)
            yield unit if first else None


class Running:
    """A handler at work, and why it was stopped if it was."""

    def __init__(self, claim: Claim, job: Job) -> None:
        self.claim = claim
        self.job = job
        self.stopped: Stop | None = None
        self._task: asyncio.Task[Any] | None = None

    def stop(self, why: Stop) -> None:
        """Cancels the handler. The first reason stays, but a lost lease outranks the others."""
        if self.stopped is None or why is Stop.LOST:
            self.stopped = why
        self._cancel()

    def _cancel(self) -> None:
        # Again and again: a cancellation can get lost on its way (see `twelvefold.tasks`).
        if self._task is not None and not self._task.done():
            self._task.cancel()
            asyncio.get_running_loop().call_later(_NUDGE, self._cancel)

    async def run(self, registration: Registration[Any] | None) -> Ended | None:
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
                self.stop(Stop.LATE)
                await asyncio.wait([self._task])
        return self._ended(registration)

    def _ended(self, registration: Registration[Any]) -> Ended | None:
        if self.stopped is Stop.LOST:
            return None
        if self._task is None or self._task.cancelled():
            return self._cut_short(registration)
        error = self._task.exception()
        if error is None:
            return self._succeeded(registration, self._task.result())
        if isinstance(error, LeaseLost):
            return None
        if self.stopped is not None and self.stopped is not Stop.LATE:
            # It was cancelled and fell over its own cleaning up.
            return self._cut_short(registration)
        if isinstance(error, Rejected):
            return self._as(JobStatus.REJECTED, error=error.detail)
        return self.failed(registration, error)

    def _succeeded(self, registration: Registration[Any], outcome: Any) -> Ended:
        effects = None
        result: Mapping[str, Any] | None = outcome
        if isinstance(outcome, Completion):
            effects, result = outcome.effects, outcome.result
        try:
            encoded = encode_result(result)
        except (TypeError, ValueError) as error:
            return self.failed(registration, error)
        return self._as(JobStatus.SUCCEEDED, result=encoded, effects=effects)

    def failed(self, registration: Registration[Any], error: BaseException) -> Ended:
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

    def _cut_short(self, registration: Registration[Any]) -> Ended:
        if self.stopped is Stop.CANCELLED:
            return self._as(JobStatus.CANCELLED)
        if self.stopped is Stop.LATE:
            return self.failed(
                registration, _RunTooLong(f"not done within {registration.kind.timeout:g} s")
            )
        if self.stopped is not None:
            return self.released()
        # Nobody stopped it: the handler cancelled itself, which is an error of its own.
        return self.failed(registration, RuntimeError("cancelled from inside"))

    def released(self) -> Ended:
        """Given back at once, as if it had never been claimed."""
        return self._as(self._waiting)

    def _unusable(self, reason: str) -> Ended:
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
    ) -> Ended:
        settlement = Settlement(
            self.claim, status, result, _storable(error), delay, attempts, unusable
        )
        return Ended(settlement, effects)


async def _handled(registration: Registration[Any], job: Job, payload: Any) -> Any:
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
