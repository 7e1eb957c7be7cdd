"""The consumer's statements on a job's row: claim, heartbeat, settle, progress.

Every one of them is fenced: it changes a row only while `claim_no` is still the caller's and the
job still runs. Only the database's clock counts. Attempts and crashes are counts, never fences.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import TextClause, text

from twelvefold.database.database import Database, Transaction

from .claim import Claim, Fence, LeaseLost, Settlement, SettlementResult
from .fair_claim import FairClaim
from .model import JobKind, JobStatus
from .pinned_connection import PinnedConnection

KEPT_ERRORS = 10  # of a job's history

_HEARTBEAT = text("""
UPDATE jobs.jobs AS j SET lease_until = now() + make_interval(secs => :lease)
FROM unnest(CAST(:ids AS uuid[]), CAST(:claims AS bigint[])) AS held (id, claim_no)
WHERE j.id = held.id AND j.claim_no = held.claim_no AND j.status = 'running'
RETURNING j.id, j.claim_no, j.cancel_requested
""")

# One statement for every way in which a run can end. What was asked to stop and did not get to
# its end is cancelled instead of being run again.
_SETTLE = text(f"""
UPDATE jobs.jobs AS j SET
  status = CASE WHEN o.ended THEN o.status
                WHEN j.cancel_requested THEN 'cancelled'
                WHEN o.unusable AND coalesce(j.unusable_since, now())
                     < now() - make_interval(secs => :window) THEN 'dead'
                ELSE o.status END,
  finished_at = CASE WHEN o.ended OR j.cancel_requested
                       OR (o.unusable AND coalesce(j.unusable_since, now())
                           < now() - make_interval(secs => :window)) THEN now() END,
  attempts = j.attempts + o.attempts,
  unusable_since = CASE WHEN o.unusable THEN coalesce(j.unusable_since, now()) END,
  progress = CASE WHEN o.status = 'succeeded' THEN 100 ELSE j.progress END,
  result = CAST(o.result AS jsonb),
  error = o.error,
  errors = CASE WHEN o.error IS NULL THEN j.errors ELSE (
    SELECT coalesce(jsonb_agg(e ORDER BY n), '[]') FROM (
      SELECT e, n FROM jsonb_array_elements(j.errors || jsonb_build_object(
        'at', now(), 'claim_no', j.claim_no, 'status', o.status, 'error', o.error))
        WITH ORDINALITY AS all_errors (e, n)
      ORDER BY n DESC LIMIT {KEPT_ERRORS}) AS kept) END,
  run_at = CASE WHEN o.ended THEN j.run_at ELSE now() + make_interval(secs => o.delay) END,
  rung_at = NULL, lease_until = NULL, worker = NULL,
  version = j.version + 1
FROM unnest(
  CAST(:ids AS uuid[]), CAST(:claims AS bigint[]), CAST(:statuses AS text[]),
  CAST(:ended AS boolean[]), CAST(:attempts AS smallint[]), CAST(:unusable AS boolean[]),
  CAST(:delays AS double precision[]), CAST(:results AS text[]), CAST(:errors AS text[])
) AS o (id, claim_no, status, ended, attempts, unusable, delay, result, error)
WHERE j.id = o.id AND j.claim_no = o.claim_no AND j.status = 'running'
RETURNING j.id, j.status, j.version
""")  # noqa: S608 (a number of our own)

# Whether a settlement whose answer was lost has arrived all the same.
_SETTLED = text("""
SELECT status, version FROM jobs.jobs
WHERE id = :id AND claim_no = :claim_no AND status <> 'running'
""")

_PROGRESS = text("""
UPDATE jobs.jobs SET progress = :progress, version = version + 1
WHERE id = :id AND claim_no = :claim_no AND status = 'running' AND progress <> :progress
RETURNING version
""")

_HOLD = text("""
SELECT 1 FROM jobs.jobs WHERE id = :id AND claim_no = :claim_no AND status = 'running' FOR UPDATE
""")

_STEP = text("""
INSERT INTO jobs.job_effects (job_id, step) VALUES (:id, :step) ON CONFLICT DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class LeaseConfig:
    """Times in seconds. `unusable_window`: how long a job that no worker understands is kept waiting."""

    worker: str
    queue: str
    lease: float = 30.0
    unusable_window: float = 3600.0
    kinds: Sequence[JobKind[Any]] = field(default_factory=tuple)


class LeaseRepository:
    """The statements, on a database and under the terms of one worker."""

    def __init__(self, database: Database, terms: LeaseConfig) -> None:
        self._database = database
        self._claims = PinnedConnection(database)
        self._settling = PinnedConnection(database)
        self.terms = terms
        attempts = {kind.name: kind.max_attempts for kind in terms.kinds}
        self._claiming = FairClaim(
            self._claims,
            {
                "queue": terms.queue,
                "worker": terms.worker,
                "lease": terms.lease,
                "attempts": json.dumps(attempts),
            },
        )

    async def claim(
        self, limit: int, *, overdue: float = 0.0, free_slots: Mapping[str, int] | None = None
    ) -> list[Claim]:
        """Takes up to `limit` jobs that are due for `overdue` seconds or more, by `FairClaim`.

        They come in the order of their priority and age. `free_slots` bounds the kinds that it names; at 0 they are passed over.
        """
        rows = await self._claiming.take(limit, overdue=overdue, rooms=free_slots or {})
        rows.sort(key=lambda row: (-row.priority, row.run_at, row.id))
        return [_claim(row) for row in rows]

    async def heartbeat(self, held: Sequence[Fence]) -> dict[Fence, bool]:
        """Extends the leases; for each that is still ours, whether the job is asked to stop."""
        rows = await self._rows(
            _HEARTBEAT,
            {
                "ids": [job_id for job_id, _ in held],
                "claims": [claim_no for _, claim_no in held],
                "lease": self.terms.lease,
            },
        )
        return {(row.id, row.claim_no): row.cancel_requested for row in rows}

    async def settle(self, settlements: Sequence[Settlement]) -> list[SettlementResult | None]:
        """Ends runs, in one statement and commit; None for those whose lease was lost."""
        rows = await self._settling.rows(_SETTLE, self._settlement(settlements))
        return self._matched(settlements, rows)

    async def settle_within(
        self, transaction: Transaction, settlement: Settlement
    ) -> SettlementResult:
        """Ends one run in the caller's transaction. Raises LeaseLost: roll back."""
        found = await transaction.execute(_SETTLE, self._settlement([settlement]))
        settled = self._matched([settlement], list(found))[0]
        if settled is None:
            raise LeaseLost
        return settled

    async def find_settlement(self, claim: Claim) -> SettlementResult | None:
        """How this very run was settled, if it was: for when the answer to that was lost."""
        rows = await self._rows(_SETTLED, _named(claim))
        return SettlementResult(JobStatus(rows[0].status), rows[0].version) if rows else None

    async def progress(self, claim: Claim, progress: int) -> int | None:
        """The new version, or None where nothing changed or the lease was lost."""
        rows = await self._rows(_PROGRESS, {**_named(claim), "progress": progress})
        return int(rows[0].version) if rows else None

    async def lock_claim(self, transaction: Transaction, claim: Claim) -> None:
        """Keeps the job ours until the end of the transaction. Raises LeaseLost."""
        if await transaction.scalar(_HOLD, _named(claim)) is None:
            raise LeaseLost

    async def record_step(self, transaction: Transaction, claim: Claim, step: str) -> bool:
        """Notes in the ledger that `step` is done; False where it was noted before."""
        noted = await transaction.execute(_STEP, {"id": claim.id, "step": step})
        return bool(noted.rowcount)  # type: ignore[attr-defined]  # an INSERT's result is a CursorResult

    async def aclose(self) -> None:
        """Gives back the connections that were kept at hand."""
        await self._claims.aclose()
        await self._settling.aclose()

    async def _rows(self, statement: TextClause, parameters: Mapping[str, Any]) -> list[Any]:
        async with self._database.read() as reader:
            return list(await reader.execute(statement, parameters))

    def _settlement(self, settlements: Sequence[Settlement]) -> dict[str, Any]:
        return {
            "window": self.terms.unusable_window,
            "ids": [one.claim.id for one in settlements],
            "claims": [one.claim.claim_no for one in settlements],
            "statuses": [one.status.value for one in settlements],
            "ended": [one.status.is_terminal for one in settlements],
            "attempts": [one.attempts for one in settlements],
            "unusable": [one.unusable for one in settlements],
            "delays": [one.delay for one in settlements],
            "results": [one.result for one in settlements],
            "errors": [one.error for one in settlements],
        }

    @staticmethod
    def _matched(
        settlements: Sequence[Settlement], rows: Sequence[Any]
    ) -> list[SettlementResult | None]:
        found = {row.id: SettlementResult(JobStatus(row.status), row.version) for row in rows}
        return [found.get(one.claim.id) for one in settlements]


def _named(claim: Claim) -> dict[str, Any]:
    return {"id": claim.id, "claim_no": claim.claim_no}


def _claim(row: Any) -> Claim:
    return Claim(
        id=row.id,
        claim_no=row.claim_no,
        kind=row.kind,
        payload=_json(row.payload),
        attempts=row.attempts,
        crashes=row.crashes,
        max_attempts=row.max_attempts,
        owner_id=row.owner_id,
        created_at=row.created_at,
        request_id=row.request_id,
        trace_context=_json(row.trace_context) or {},
        version=row.version,
        waited=float(row.waited),
    )


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
