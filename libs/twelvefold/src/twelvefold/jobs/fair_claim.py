"""The claim: which due jobs a worker takes, so that no owner's backlog holds up another's.

Within a priority the owners with the fewest running jobs come first, in any worker; those that are
equal take turns. All jobs without an owner count as one owner's. Owners are found by a loose index
scan (one descent each, however long their backlogs are) over the index `jobs_due_by_owner`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text

from .pinned_connection import PinnedConnection

OWNERS = 64  # looked at by one statement, at each priority
ROUNDS = 8  # statements of one claim, where owners had nothing to take or another was faster
NO_OWNER = UUID(int=0)

# As in the index, word for word: else it is not used. No other index has this collation, so that
# without statistics, too, none is taken that leads through whole backlogs.
_WAITING = """status IN ('queued', 'failed') AND queue COLLATE "C" = :queue"""
_OWNER = "coalesce(owner_id, '00000000-0000-0000-0000-000000000000'::uuid)"

# `owners` goes round from the one after :last, for each priority; step 0 is no owner yet. `load` is
# what an owner would have running with this job and those before it. Of that order as many are
# counted for each owner and kind as there is room for, and only so many rows are locked: others
# that somebody else claims just now are skipped. Unlimited kinds have no entry in :rooms. The rows
# are named by an array, and no LIMIT but the innermost is a parameter: so the plan for any values
# costs as much as one for these, and PostgreSQL plans the statement once, not at every claim.
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
  WHERE o.step < :owners
), due AS (
  SELECT o.level, o.step, o.owner, j.kind, row_number() OVER mine + coalesce(busy.n, 0) AS load
  FROM owners AS o CROSS JOIN LATERAL (
    SELECT id, kind, run_at FROM jobs.jobs
    WHERE {_WAITING} AND -priority = o.level AND {_OWNER} = o.owner
      AND run_at <= now() - make_interval(secs => :overdue)
      AND kind <> ALL (CAST(:full AS text[]))
    ORDER BY run_at, id LIMIT :wanted
  ) AS j LEFT JOIN (
    SELECT {_OWNER} AS owner, count(*) AS n FROM jobs.jobs
    WHERE status = 'running' AND queue = :queue GROUP BY 1
  ) AS busy ON busy.owner = o.owner
  WHERE o.step > 0
  WINDOW mine AS (PARTITION BY o.owner ORDER BY o.level, j.run_at, j.id)
), fitting AS (
  SELECT * FROM (
    SELECT *, row_number() OVER (ORDER BY level, load, step) AS place FROM (
      SELECT *, row_number() OVER (PARTITION BY kind ORDER BY level, load, step) AS nth FROM due
    ) AS ranked
    WHERE nth <= coalesce(CAST(CAST(:rooms AS jsonb) ->> kind AS integer), :wanted)
  ) AS placed
  WHERE place <= :wanted
), shares AS (
  SELECT level, owner, kind, count(*) AS n FROM fitting GROUP BY level, owner, kind
), taken AS MATERIALIZED (
  SELECT j.id FROM shares CROSS JOIN LATERAL (
    SELECT id FROM jobs.jobs
    WHERE {_WAITING} AND -priority = shares.level AND {_OWNER} = shares.owner
      AND kind = shares.kind AND run_at <= now() - make_interval(secs => :overdue)
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
  WHERE j.id = ANY (ARRAY(SELECT id FROM taken))
  RETURNING j.id, j.claim_no, j.kind, j.payload, j.attempts, j.crashes, j.max_attempts,
            j.owner_id, j.created_at, j.run_at, j.request_id, j.trace_context, j.version,
            j.priority, extract(epoch FROM now() - j.run_at) AS waited
)
SELECT claimed.*, seen.*
FROM (
  SELECT (SELECT count(*) FROM fitting) AS fitting,
         (SELECT owner FROM fitting ORDER BY place DESC LIMIT 1) AS last_fitting,
         (SELECT owner FROM owners WHERE step = :owners LIMIT 1) AS last_of_many
) AS seen LEFT JOIN claimed ON true
""")  # noqa: S608 (of our own)


class FairClaim:
    """One process's claims. Whose turn it is next among equals, each process knows for itself."""

    def __init__(
        self, line: PinnedConnection, parameters: Mapping[str, Any], *, owners: int = OWNERS
    ) -> None:
        """`parameters`: what is the same for every claim of this worker."""
        self._line = line
        self._parameters = {**parameters, "owners": owners}
        self._last = NO_OWNER

    async def take(self, wanted: int, *, overdue: float, rooms: Mapping[str, int]) -> list[Any]:
        """Rows of up to `wanted` jobs, which are the caller's from now on, in no order.

        Of more than `OWNERS` owners those beyond are asked next, at most `ROUNDS` times now and
        the rest by the next call, since an owner whose jobs are not due is known by looking only.
        """
        left, taken = dict(rooms), list[Any]()
        for _ in range(ROUNDS):
            try:
                rows = await self._round(wanted - len(taken), overdue, left)
            except Exception:
                if not taken:
                    raise
                break  # what was taken before is held, and must not be lost
            found = [row for row in rows if row.id is not None]
            taken += found
            for row in found:
                if row.kind in left:
                    left[row.kind] -= 1
            seen = rows[0]
            if seen.fitting:
                self._last = seen.last_fitting
            if len(taken) >= wanted:
                break
            if len(found) == seen.fitting:  # else another worker was faster: there may be more
                if seen.last_of_many is None:
                    break
                self._last = seen.last_of_many
        return taken

    async def _round(self, wanted: int, overdue: float, rooms: Mapping[str, int]) -> Sequence[Any]:
        return await self._line.rows(
            _CLAIM,
            {
                **self._parameters,
                "last": self._last,
                "overdue": overdue,
                "full": [kind for kind, room in rooms.items() if room <= 0],
                "rooms": json.dumps(dict(rooms)),
                "wanted": wanted,
            },
        )
