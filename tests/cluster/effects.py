"""What became of a load in the end: nothing that was accepted is lost, and nothing happened twice.

Looks where the load cannot: into the database and the mail catcher. Compares that with what the
load saw, by the checker of the chaos suite.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.chaos.checker import Verdict, check
from tests.chaos.history import Outcome
from tests.cluster.cluster import until
from tests.cluster.deployment import Deployment
from tests.cluster.load import Result

VARIANTS = 3  # of each image


@dataclass(frozen=True)
class Effects:
    """`jobs` of the time of the load, by state; `crashes` counts leases that ran out."""

    registrations: Verdict
    mails: Verdict
    images: Verdict
    renames: Verdict
    jobs: dict[str, int]
    crashes: int

    @property
    def verdicts(self) -> dict[str, Verdict]:
        return {
            "registrations": self.registrations,
            "mails": self.mails,
            "images": self.images,
            "renames": self.renames,
        }

    @property
    def hold(self) -> bool:
        return all(one.holds for one in self.verdicts.values()) and set(self.jobs) <= {"succeeded"}

    def __str__(self) -> str:
        parts = [
            f"{one.accepted} {name} ({len(one.lost)} lost, {len(one.duplicated)} doubled)"
            for name, one in self.verdicts.items()
        ]
        return f"{', '.join(parts)}; jobs {self.jobs}, {self.crashes} of them taken over"


def effects(deployment: Deployment, result: Result, *, timeout: float = 120) -> Effects:
    """Waits until every job of the load has ended. Raises TimeoutError where one does not."""
    since = f"created_at >= to_timestamp({result.began - 1})"
    working = f"status IN ('queued', 'running', 'failed') AND {since}"
    until(
        lambda: _rows(deployment, f"SELECT count(*) FROM jobs.jobs WHERE {working}") == [[0]],
        "the jobs of the load have ended",
        timeout,
    )
    registered = result.outcomes.get("register", {})
    uploaded = result.outcomes.get("upload", {})
    ready = f"status = 'ready' AND jsonb_array_length(variants) = {VARIANTS}"
    jobs = _rows(
        deployment,
        f"SELECT status, count(*), sum(crashes) FROM jobs.jobs WHERE {since} GROUP BY status",
    )
    return Effects(
        registrations=check(
            registered,
            _counted(
                registered,
                _rows(deployment, "SELECT email, count(*) FROM users.accounts GROUP BY 1"),
            ),
        ),
        mails=check(registered, _counted(registered, Counter(deployment.mailed()).items())),
        images=check(
            uploaded,
            _counted(
                uploaded,
                _rows(
                    deployment,
                    f"SELECT sha256, count(*) FROM api.images WHERE {ready} GROUP BY 1",
                ),
            ),
        ),
        renames=_renames(deployment, result),
        jobs={status: count for status, count, _ in jobs},
        crashes=sum(crashes for *_, crashes in jobs),
    )


def _counted(requested: dict[str, Outcome], found: Iterable[Any]) -> dict[str, int]:
    """Of the requests of this load alone; others use the suite before and after."""
    return {key: count for key, count in found if key in requested}


def _renames(deployment: Deployment, result: Result) -> Verdict:
    """Each raises the account's version by one: too low, one was lost; too high, one came twice."""
    rows = _rows(deployment, "SELECT id::text, version FROM users.accounts")
    known = dict(rows)
    lost, doubled = set(), set()
    for account, (before, changes) in result.versions.items():
        happened = known[account] - before
        if happened < changes[Outcome.OK]:
            lost.add(account)
        if happened > changes[Outcome.OK] + changes[Outcome.UNKNOWN]:
            doubled.add(account)
    accepted = sum(changes[Outcome.OK] for _, changes in result.versions.values())
    return Verdict(accepted, lost, doubled, frozenset(), frozenset())


def _rows(deployment: Deployment, query: str) -> list[list[Any]]:
    output = deployment.sql(f"SELECT json_build_array(found.*) FROM ({query}) AS found")
    # A row type becomes one object: its values in their order.
    return [list(json.loads(line)[0].values()) for line in output.splitlines() if line]
