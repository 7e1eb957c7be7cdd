"""What a worker holds of a job, and what it may say of its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from .model import JobStatus

Fence = tuple[UUID, int]  # a job and the number of one claim of it


class LeaseLost(Exception):
    """Somebody else may have this job by now: nothing that we found out counts any more."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that is ours while the lease lasts. `waited` is in seconds since it was due."""

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
        return self.id, self.claim_no


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a run ended. `delay` (seconds) counts where the job will run again."""

    claim: Claim
    status: JobStatus
    result: str | None = None  # JSON
    error: str | None = None
    delay: float = 0.0
    attempts: int = 0  # to add
    unusable: bool = False  # nobody here can run it; dead once that has lasted


@dataclass(frozen=True, slots=True)
class SettlementResult:
    status: JobStatus
    version: int
