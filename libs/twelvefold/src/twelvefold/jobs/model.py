"""Domain types of jobs: states, the public record, the policy of a kind, claims and their results.

Imports no driver, so that use cases may import it. Payloads are in `twelvefold.contracts.jobs`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from twelvefold.contracts.jobs import JobPayload

from .retry_policy import DEFAULT_MAX_ATTEMPTS, Backoff

if TYPE_CHECKING:
    from twelvefold.database.database import Transaction


DEFAULT_QUEUE = "default"
MAX_CRASHES = 3  # expired leases after which a job is dead: it probably crashes its workers

P = TypeVar("P", bound=JobPayload)
Fence = tuple[UUID, int]  # job id and claim number


class JobStatus(StrEnum):
    """`failed` is retried, `rejected` has invalid input, `dead` is kept for an operator."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    DEAD = "dead"

    @property
    def is_terminal(self) -> bool:
        """Return whether the job stays in this state unless it is retried."""
        return self in _TERMINAL


_TERMINAL = frozenset(
    {JobStatus.SUCCEEDED, JobStatus.CANCELLED, JobStatus.REJECTED, JobStatus.DEAD}
)


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job's row without its payload. Every change raises `version`."""

    id: UUID
    kind: str
    queue: str
    priority: int
    owner_id: UUID | None
    status: JobStatus
    progress: int  # per cent
    attempts: int
    crashes: int
    max_attempts: int
    cancel_requested: bool
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    result: dict[str, Any] | None
    error: str | None
    version: int

    @property
    def type(self) -> str:
        """Return the kind under its name in the public contract."""
        return self.kind

    @property
    def position(self) -> tuple[datetime, UUID]:
        """Return the sort key at which a page ends."""
        return self.created_at, self.id


class JobSubject(NamedTuple):
    """The object that a job's payload names, for callers that may not read the payload."""

    target: str | None  # the type of the object, where the kind has several
    id: UUID | None


class Wakeup(NamedTuple):
    """A wake-up for one claim of one job. Losing it costs latency only."""

    job_id: UUID
    claim_no: int = 0
    queue: str = DEFAULT_QUEUE


@dataclass(frozen=True, slots=True)
class JobKind(Generic[P]):
    """How jobs of one kind run. A producer needs only the name and the payload."""

    name: str
    payload: type[P]
    timeout: float = 60.0  # seconds for one run
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    backoff: Backoff = field(default_factory=Backoff)
    concurrency: int | None = None  # concurrent runs in one process; None: no limit of its own


@dataclass(frozen=True, slots=True)
class Completion:
    """A handler's result with effects in the worker's own schema.

    `effects` runs in the transaction that settles the job, after the fence was checked there:
    both commit once, or neither does.
    """

    result: Mapping[str, Any] | None = None
    effects: Callable[[Transaction], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class PeriodicJob:
    """One job for every tick. Ticks are `every` apart, counted from midnight UTC plus `at`."""

    kind: str
    every: timedelta
    at: timedelta = timedelta()
    payload: Mapping[str, Any] = field(default_factory=dict)
    max_attempts: int | None = None  # 1 to 100; None: the kind's, known once a worker claims it


class LeaseLost(Exception):
    """Another worker may run this job: results of this run no longer count."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this worker may run while the lease lasts. `waited`: seconds since it was due."""

    id: UUID
    claim_no: int
    kind: str
    payload: Any
    attempts: int
    crashes: int
    max_attempts: int | None
    owner_id: UUID | None
    created_at: datetime
    request_id: str | None
    trace_context: Mapping[str, str]
    version: int
    waited: float

    @property
    def fence(self) -> Fence:
        """Return the pair that each write about this run must match."""
        return self.id, self.claim_no


@dataclass(frozen=True, slots=True)
class Settlement:
    """The result of a run. `delay`: seconds until the next run, if there is one."""

    claim: Claim
    status: JobStatus
    result: str | None = None  # JSON
    error: str | None = None
    delay: float = 0.0
    attempts: int = 0  # number to add
    unusable: bool = False  # this worker cannot run it; dead after the unusable window


@dataclass(frozen=True, slots=True)
class SettlementResult:
    """The state in which a settlement left the row."""

    status: JobStatus
    version: int
