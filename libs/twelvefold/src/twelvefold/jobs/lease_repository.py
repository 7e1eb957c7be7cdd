"""The worker's statements on a job's row: claim, renew, settle, record progress.

Each is fenced: it changes a row only while the job runs under the caller's `claim_no`. All times
come from the database's clock. Attempts and crashes are counts, never fences.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import TextClause, text

from twelvefold.database.database import Database, Transaction

from .fair_claim import FairClaim
from .model import (
    Claim,
    Fence,
    JobKind,
    JobStatus,
    LeaseLost,
    Settlement,
    SettlementResult,
)
from .pinned_connection import PinnedConnection

KEPT_ERRORS = 10  # newest errors in a job's history

_RENEW = text("""
UPDATE jobs.jobs AS j SET lease_until = now() + make_interval(secs => :lease)
FROM unnest(CAST(:ids AS uuid[]), CAST(:claims AS bigint[])) AS fences (id, claim_no)
WHERE j.id = fences.id AND j.claim_no = fences.claim_no AND j.status = 'running'
RETURNING j.id, j.claim_no, j.cancel_requested
""")

# One statement for every result of a run. A job with a requested cancellation whose run did not
# complete is cancelled instead of being run again.
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
""")  # noqa: S608 (a constant of this module)

# Finds a settlement whose response was lost.
_FIND_SETTLEMENT = text("""
SELECT status, version FROM jobs.jobs
WHERE id = :id AND claim_no = :claim_no AND status <> 'running'
""")

_RECORD_PROGRESS = text("""
UPDATE jobs.jobs SET progress = :progress, version = version + 1
WHERE id = :id AND claim_no = :claim_no AND status = 'running' AND progress <> :progress
RETURNING version
""")

_LOCK_CLAIM = text("""
SELECT 1 FROM jobs.jobs WHERE id = :id AND claim_no = :claim_no AND status = 'running' FOR UPDATE
""")

_RECORD_STEP = text("""
INSERT INTO jobs.job_effects (job_id, step) VALUES (:id, :step) ON CONFLICT DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class LeaseConfig:
    """The identity of a worker, the kinds that it runs, and its lease terms, in seconds.

    `unusable_window`: time for which a job with an invalid payload waits for a worker of another
    version before it is dead.
    """

    worker: str
    queue: str
    lease: float = 30.0
    unusable_window: float = 3600.0
    kinds: Sequence[JobKind[Any]] = field(default_factory=tuple)


class LeaseRepository:
    """The statements of one worker on its database."""

    def __init__(self, database: Database, config: LeaseConfig) -> None:
        self._database = database
        self._claim_connection = PinnedConnection(database)
        self._settle_connection = PinnedConnection(database)
        self.config = config
        attempts = {kind.name: kind.max_attempts for kind in config.kinds}
        self._fair_claim = FairClaim(
            self._claim_connection,
            {
                "queue": config.queue,
                "worker": config.worker,
                "lease": config.lease,
                "attempts": json.dumps(attempts),
            },
            kinds=attempts,
        )

    async def claim(
        self, limit: int, *, min_overdue: float = 0.0, free_slots: Mapping[str, int] | None = None
    ) -> list[Claim]:
        """Claim up to `limit` jobs that are overdue by at least `min_overdue` seconds.

        Returns them by priority and age; `FairClaim` chooses them, only of the kinds that this
        worker runs. `free_slots` bounds the number
        of jobs of the kinds that it names; kinds at 0 are skipped.
        """
        rows = await self._fair_claim.claim(
            limit, min_overdue=min_overdue, free_slots=free_slots or {}
        )
        rows.sort(key=lambda row: (-row.priority, row.run_at, row.id))
        return [_build_claim(row) for row in rows]

    async def renew(self, fences: Sequence[Fence]) -> dict[Fence, bool]:
        """Extend the leases. Return, for each still held, whether cancellation was requested."""
        rows = await self._fetch_rows(
            _RENEW,
            {
                "ids": [job_id for job_id, _ in fences],
                "claims": [claim_no for _, claim_no in fences],
                "lease": self.config.lease,
            },
        )
        return {(row.id, row.claim_no): row.cancel_requested for row in rows}

    async def settle(self, settlements: Sequence[Settlement]) -> list[SettlementResult | None]:
        """Settle runs in one statement and commit; None stands for a lost lease."""
        rows = await self._settle_connection.fetch_rows(
            _SETTLE, self._settle_parameters(settlements)
        )
        return self._match_results(settlements, rows)

    async def settle_within(
        self, transaction: Transaction, settlement: Settlement
    ) -> SettlementResult:
        """Settle one run in the caller's transaction.

        Raises LeaseLost; the caller must then roll back.
        """
        rows = await transaction.execute(_SETTLE, self._settle_parameters([settlement]))
        result = self._match_results([settlement], list(rows))[0]
        if result is None:
            raise LeaseLost
        return result

    async def find_settlement(self, claim: Claim) -> SettlementResult | None:
        """Return how this run was settled, or None: for a settlement whose response was lost."""
        rows = await self._fetch_rows(_FIND_SETTLEMENT, _fence_parameters(claim))
        return SettlementResult(JobStatus(rows[0].status), rows[0].version) if rows else None

    async def record_progress(self, claim: Claim, progress: int) -> int | None:
        """Return the new version, or None if nothing changed or the lease was lost."""
        parameters = {**_fence_parameters(claim), "progress": progress}
        rows = await self._fetch_rows(_RECORD_PROGRESS, parameters)
        return int(rows[0].version) if rows else None

    async def lock_claim(self, transaction: Transaction, claim: Claim) -> None:
        """Lock the row under this claim until the transaction ends. Raises LeaseLost."""
        if await transaction.scalar(_LOCK_CLAIM, _fence_parameters(claim)) is None:
            raise LeaseLost

    async def record_step(self, transaction: Transaction, claim: Claim, step: str) -> bool:
        """Record that `step` is done. Return False if it was recorded before."""
        result = await transaction.execute(_RECORD_STEP, {"id": claim.id, "step": step})
        return bool(result.rowcount)  # type: ignore[attr-defined]  # INSERT: a CursorResult

    async def aclose(self) -> None:
        """Return the pinned connections to the pool."""
        await self._claim_connection.aclose()
        await self._settle_connection.aclose()

    async def _fetch_rows(self, statement: TextClause, parameters: Mapping[str, Any]) -> list[Any]:
        async with self._database.read() as reader:
            return list(await reader.execute(statement, parameters))

    def _settle_parameters(self, settlements: Sequence[Settlement]) -> dict[str, Any]:
        return {
            "window": self.config.unusable_window,
            "ids": [item.claim.id for item in settlements],
            "claims": [item.claim.claim_no for item in settlements],
            "statuses": [item.status.value for item in settlements],
            "ended": [item.status.is_terminal for item in settlements],
            "attempts": [item.attempts for item in settlements],
            "unusable": [item.unusable for item in settlements],
            "delays": [item.delay for item in settlements],
            "results": [item.result for item in settlements],
            "errors": [item.error for item in settlements],
        }

    @staticmethod
    def _match_results(
        settlements: Sequence[Settlement], rows: Sequence[Any]
    ) -> list[SettlementResult | None]:
        results = {row.id: SettlementResult(JobStatus(row.status), row.version) for row in rows}
        return [results.get(item.claim.id) for item in settlements]


def _fence_parameters(claim: Claim) -> dict[str, Any]:
    return {"id": claim.id, "claim_no": claim.claim_no}


def _build_claim(row: Any) -> Claim:
    return Claim(
        id=row.id,
        claim_no=row.claim_no,
        kind=row.kind,
        payload=_parse_json(row.payload),
        attempts=row.attempts,
        crashes=row.crashes,
        max_attempts=row.max_attempts,
        owner_id=row.owner_id,
        created_at=row.created_at,
        request_id=row.request_id,
        trace_context=_parse_json(row.trace_context) or {},
        version=row.version,
        waited=float(row.waited),
    )


def _parse_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
