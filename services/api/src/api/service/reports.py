"""What several owners know together: everything kept on one account, and counts by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from api.repository.analytics import DayCounts, counts_by_day
from api.repository.images import Image, ImageRepository
from api.users_client import UsersClient
from twelvefold.contracts.accounts import DailyAccounts, UserExport
from twelvefold.database import Database
from twelvefold.jobs import JobQueue, JobRecord
from twelvefold.security.principal import Principal

_BATCH = 500  # rows a query


@dataclass(frozen=True, slots=True)
class Everything:
    """All that is kept on one account, at the time of the request."""

    account: UserExport
    images: Sequence[Image]
    jobs: Sequence[JobRecord]


@dataclass(frozen=True, slots=True)
class Reports:
    """Use cases that read from users and from here at once."""

    users: UsersClient
    database: Database
    images: ImageRepository
    queue: JobQueue

    async def export(self, principal: Principal) -> Everything:
        """Everything on the caller. Raises NotFound where the account is gone."""
        account = await self.users.export(principal.id, bearer=principal.token)
        async with self.database.read() as reader:
            images: list[Image] = []
            while True:
                found = await self.images.list(
                    reader,
                    owner_id=principal.id,
                    limit=_BATCH,
                    after=images[-1].position if images else None,
                )
                images += found
                if len(found) < _BATCH:
                    break
            jobs: list[JobRecord] = []
            while True:
                batch = await self.queue.list(
                    reader,
                    owner_id=principal.id,
                    limit=_BATCH,
                    after=jobs[-1].position if jobs else None,
                )
                jobs += batch
                if len(batch) < _BATCH:
                    break
        return Everything(account, images, jobs)

    async def daily(
        self, principal: Principal, first: date, last: date
    ) -> Sequence[tuple[DailyAccounts, DayCounts]]:
        """Each day from `first` to `last` (UTC, both included), in their order; for admins.

        Raises Invalid for a range that is empty or too long.
        """
        accounts = await self.users.daily(first, last, bearer=principal.token)
        async with self.database.read() as reader:
            counts = await counts_by_day(reader, first, last)
        return [(day, counts.get(day.day, DayCounts())) for day in accounts.items]
