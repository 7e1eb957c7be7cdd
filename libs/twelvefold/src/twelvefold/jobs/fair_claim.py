"""Fair claims: which due jobs a worker takes, so that no owner's backlog delays another owner.

Within a priority, the owners with the fewest running jobs in all workers come first; equal owners
take turns. Jobs without an owner count as those of one owner. A loose index scan over the index
`jobs_due_by_owner` finds the owners: one descent for each, whatever the length of its backlog.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text

from .pinned_connection import PinnedConnection

MAX_OWNERS = 64  # scanned by one statement, at each priority
MAX_ROUNDS = 8  # statements of one claim, if owners have no due job or other workers are faster
NO_OWNER = UUID(int=0)

# Must equal the index's expressions, or PostgreSQL does not use it. No other index has this
# collation, so that even without statistics no plan reads whole backlogs.
_WAITING = """status IN ('queued', 'failed') AND queue COLLATE "C" = :queue"""
_OWNER = "coalesce(owner_id, '00000000-0000-0000-0000-000000000000'::uuid)"

# `owners` cycles through the owners after :last, for each priority; step 0 is no owner yet. `load`
# is what an owner would have running with this job and those before it. In that order, `eligible`
# keeps as many jobs of each owner and kind as there are free slots, and only that many rows are
# locked; rows that another worker is claiming are skipped. Unlimited kinds have no entry in
# :free_slots. The rows are named by an array, and only the innermost LIMIT is a parameter: so the
# generic plan costs as much as a custom one, and PostgreSQL plans the statement once, not at every
# claim.
_CLAIM = text(f"""
WITH RECURSIVE levels (level) AS (
  (SELECT -priority FROM jobs.jobs WHERE {_WAITING} ORDER BY -priority LIMIT 1)
  UNION ALL
  SELECT next.level FROM levels CROSS JOIN LATERAL (
    SELECT -priority AS level FROM jobs.jobs
    WHERE {_WAITING} AND -priority > levels.level ORDER BY -priority LIMIT 1
  ) AS next
), owners (level, step, owner, wrapped) AS (
  SELECT level, 0, CAST(:last AS uuid), false FROM levels
  UNION ALL
  SELECT o.level, o.step + 1, next.owner, next.wrapped
  FROM owners AS o CROSS JOIN LATERAL (
    (SELECT {_OWNER} AS owner, o.wrapped FROM jobs.jobs
     WHERE {_WAITING} AND -priority = o.level AND {_OWNER} > o.owner
       AND (NOT o.wrapped OR {_OWNER} <= CAST(:last AS uuid))
     ORDER BY {_OWNER} LIMIT 1)
    UNION ALL
    (SELECT {_OWNER}, true FROM jobs.jobs
     WHERE {_WAITING} AND -priority = o.level AND {_OWNER} <= CAST(:last AS uuid)
       AND NOT o.wrapped
     ORDER BY {_OWNER} LIMIT 1)
    ORDER BY 2 LIMIT 1
  ) AS next
  WHERE o.step < :max_owners
), due AS (
  SELECT o.level, o.step, o.owner, j.kind,
         row_number() OVER owner_jobs + coalesce(busy.n, 0) AS load
  FROM owners AS o CROSS JOIN LATERAL (
    SELECT id, kind, run_at FROM jobs.jobs
    WHERE {_WAITING} AND -priority = o.level AND {_OWNER} = o.owner
      AND run_at <= now() - make_interval(secs => :min_overdue)
      AND kind = ANY (CAST(:kinds AS text[]))
    ORDER BY run_at, id LIMIT :limit
  ) AS j LEFT JOIN (
    SELECT {_OWNER} AS owner, count(*) AS n FROM jobs.jobs
    WHERE status = 'running' AND queue = :queue GROUP BY 1
  ) AS busy ON busy.owner = o.owner
  WHERE o.step > 0
  WINDOW owner_jobs AS (PARTITION BY o.owner ORDER BY o.level, j.run_at, j.id)
), eligible AS (
  SELECT * FROM (
    SELECT *, row_number() OVER (ORDER BY level, load, step) AS place FROM (
      SELECT *, row_number() OVER (PARTITION BY kind ORDER BY level, load, step) AS nth FROM due
    ) AS ranked
    WHERE nth <= coalesce(CAST(CAST(:free_slots AS jsonb) ->> kind AS integer), :limit)
  ) AS placed
  WHERE place <= :limit
), shares AS (
  SELECT level, owner, kind, count(*) AS n FROM eligible GROUP BY level, owner, kind
), locked AS MATERIALIZED (
  SELECT j.id FROM shares CROSS JOIN LATERAL (
    SELECT id FROM jobs.jobs
    WHERE {_WAITING} AND -priority = shares.level AND {_OWNER} = shares.owner
      AND kind = shares.kind AND run_at <= now() - make_interval(secs => :min_overdue)
    ORDER BY run_at, id LIMIT shares.n
    FOR UPDATE SKIP LOCKED
  ) AS j
), claimed AS (
  UPDATE jobs.jobs AS j SET
    status = 'running', claim_no = j.claim_no + 1, worker = :worker,
    lease_until = now() + make_interval(secs => :lease), started_at = now(), progress = 0,
    max_attempts = coalesce(
      j.max_attempts, CAST(CAST(:attempts AS jsonb) ->> j.kind AS smallint)),
    version = j.version + 1
  WHERE j.id = ANY (ARRAY(SELECT id FROM locked))
  RETURNING j.id, j.claim_no, j.kind, j.payload, j.attempts, j.crashes, j.max_attempts,
            j.owner_id, j.created_at, j.run_at, j.request_id, j.trace_context, j.version,
            j.priority, extract(epoch FROM now() - j.run_at) AS waited
)
SELECT claimed.*, scan.*
FROM (
  SELECT (SELECT count(*) FROM eligible) AS eligible,
         (SELECT owner FROM eligible ORDER BY place DESC LIMIT 1) AS last_eligible,
         (SELECT owner FROM owners WHERE step = :max_owners LIMIT 1) AS last_scanned
) AS scan LEFT JOIN claimed ON true
""")  # noqa: S608 (constants of this module)


class FairClaim:
    """The claims of one process, which keeps its own position among equal owners."""

    def __init__(
        self,
        connection: PinnedConnection,
        parameters: Mapping[str, Any],
        *,
        kinds: Iterable[str],
        max_owners: int = MAX_OWNERS,
    ) -> None:
        """`parameters`: values that are equal for every claim of this worker.

        Jobs of other kinds than `kinds` stay as they are, for a worker that runs them.
        """
        self._connection = connection
        self._kinds = tuple(kinds)
        self._parameters = {**parameters, "max_owners": max_owners}
        self._last = NO_OWNER

    async def claim(
        self, limit: int, *, min_overdue: float, free_slots: Mapping[str, int]
    ) -> list[Any]:
        """Claim up to `limit` jobs and return their rows, in no order.

        A statement scans `MAX_OWNERS` owners, because only a scan shows whether an owner has a due
        job. Further owners follow in up to `MAX_ROUNDS` statements, the rest in the next call.
        """
        remaining_slots, claimed = dict(free_slots), list[Any]()
        for _ in range(MAX_ROUNDS):
            try:
                rows = await self._run_round(limit - len(claimed), min_overdue, remaining_slots)
            except Exception:
                if not claimed:
                    raise
                break  # this worker holds the jobs of earlier rounds: they must be returned
            new = [row for row in rows if row.id is not None]
            claimed += new
            for row in new:
                if row.kind in remaining_slots:
                    remaining_slots[row.kind] -= 1
            scan = rows[0]
            if scan.eligible:
                self._last = scan.last_eligible
            if len(claimed) >= limit:
                break
            if len(new) == scan.eligible:  # otherwise another worker was faster: try again
                if scan.last_scanned is None:
                    break
                self._last = scan.last_scanned
        return claimed

    async def _run_round(
        self, limit: int, min_overdue: float, free_slots: Mapping[str, int]
    ) -> Sequence[Any]:
        return await self._connection.fetch_rows(
            _CLAIM,
            {
                **self._parameters,
                "last": self._last,
                "min_overdue": min_overdue,
                "kinds": [kind for kind in self._kinds if free_slots.get(kind, 1) > 0],
                "free_slots": json.dumps(dict(free_slots)),
                "limit": limit,
            },
        )
