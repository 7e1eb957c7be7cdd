"""What a job is: its states, the record that others see, and the policy of its kind.

Imports no driver: a service's use cases may import it. Payloads are in `twelvefold.contracts.jobs`.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from twelvefold.contracts.jobs import JobPayload

if TYPE_CHECKING:
    from twelvefold.database.database import Transaction


DEFAULT_QUEUE = "default"
DEFAULT_MAX_ATTEMPTS = 10
MAX_CRASHES = 3  # expired leases after which a job is taken for the killer of its workers

P = TypeVar("P", bound=JobPayload)


class JobStatus(StrEnum):
    """`failed` will be retried; `rejected` has input at fault; `dead` gave up, kept for people."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    DEAD = "dead"

    @property
    def is_terminal(self) -> bool:
        """Nothing more happens by itself."""
        return self in _ENDED


_ENDED = frozenset({JobStatus.SUCCEEDED, JobStatus.CANCELLED, JobStatus.REJECTED, JobStatus.DEAD})


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One row as everybody may see it: no payload. `version` is raised by every change."""

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
        """The kind, by the name that it has in the public contract."""
        return self.kind

    @property
    def position(self) -> tuple[datetime, UUID]:
        """Where a page ends."""
        return self.created_at, self.id


class JobSubject(NamedTuple):
    """What a job acts on, as far as its payload says: for whoever must not see that."""

    target: str | None  # what `id` is of, where a kind has several
    id: UUID | None


class Wakeup(NamedTuple):
    """A wake-up for one claim of one job. Losing it costs latency only."""

    job_id: UUID
    claim_no: int = 0
    queue: str = DEFAULT_QUEUE


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential, with full jitter, so that what failed together does not return together."""

    base: float = 2.0  # seconds, the most after the first failure
    cap: float = 600.0  # seconds, the most ever

    def delay(self, failures: int, *, at_least: float = 0.0) -> float:
        """Seconds until the next run, after `failures` of them (1 and on)."""
        most = min(self.cap, self.base * 2.0 ** min(failures - 1, 30))
        return max(at_least, random.uniform(0.0, most))  # noqa: S311 (spreads load, keeps no secret)


@dataclass(frozen=True, slots=True)
class JobKind(Generic[P]):
    """How jobs of one kind are run. A producer needs the name and the payload only."""

    name: str
    payload: type[P]
    timeout: float = 60.0  # seconds for one run
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    backoff: Backoff = field(default_factory=Backoff)
    concurrency: int | None = None  # running at a time in one process; none: as many as fit


@dataclass(frozen=True, slots=True)
class Completion:
    """What a handler returns where effects in the worker's own schema belong to its success.

    `effects` runs in the transaction of the completion, after the fence has been checked there:
    both commit, once, or neither does.
    """

    result: Mapping[str, Any] | None = None
    effects: Callable[[Transaction], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class PeriodicJob:
    """One job for every tick: ticks are `every` apart, counted in UTC from midnight plus `at`."""

    kind: str
    every: timedelta
    at: timedelta = timedelta()
    payload: Mapping[str, Any] = field(default_factory=dict)
