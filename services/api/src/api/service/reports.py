"""What several owners know together: everything kept on one account, and counts by day."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar
from uuid import UUID

from api.repository.analytics import DayCounts, counts_by_day
from api.repository.images import Image, ImageRepository, Position
from api.users_client import UsersClient
from twelvefold.contracts.accounts import DailyAccounts
from twelvefold.database.database import Database, Reader
from twelvefold.errors import Overloaded, TooManyRequests
from twelvefold.jobs import JobQueue, JobRecord
from twelvefold.security.principals import Principal

_BATCH = 200  # rows a query: a few milliseconds of the event loop
MAX_EXPORTS = 8  # sent at a time by one process
R = TypeVar("R", Image, JobRecord)


@dataclass(frozen=True, slots=True)
class AccountData:
    """All that is kept on one account. Its rows are read while they are sent, in batches, so that
    neither memory nor the event loop notices how many there are; none is empty.
    """

    account: bytes  # a `UserExport` as JSON, as users wrote it
    images: AsyncIterator[Sequence[Image]]
    jobs: AsyncIterator[Sequence[JobRecord]]


@dataclass(frozen=True, slots=True)
class Reports:
    """Use cases that read from users and from here at once."""

    users: UsersClient
    database: Database
    images: ImageRepository
    queue: JobQueue
    exporting: set[UUID] = field(default_factory=set)  # accounts, in this process

    @asynccontextmanager
    async def export(self, principal: Principal) -> AsyncIterator[AccountData]:
        """Everything on the caller, one export at a time.

        Raises TooManyRequests while another one of the account is sent by this process, Overloaded
        where too many are, NotFound where the account is gone.
        """
        if principal.id in self.exporting:
            raise TooManyRequests("an export of your account is being sent", retry_after=5)
        if len(self.exporting) >= MAX_EXPORTS:
            raise Overloaded("too many exports are being sent", retry_after=5)
        self.exporting.add(principal.id)
        try:
            account = await self.users.export(principal.id, bearer=principal.token)

            async def images(reader: Reader, after: Position | None) -> Sequence[Image]:
                return await self.images.list(
                    reader, owner_id=principal.id, limit=_BATCH, after=after
                )

            async def jobs(reader: Reader, after: Position | None) -> Sequence[JobRecord]:
                return await self.queue.list(
                    reader, owner_id=principal.id, limit=_BATCH, after=after
                )

            # What PostgreSQL cannot answer at all is told before the first byte.
            await self.database.ping()
            yield AccountData(account, self._batches(images), self._batches(jobs))
        finally:
            self.exporting.discard(principal.id)

    async def _batches(
        self, read: Callable[[Reader, Position | None], Awaitable[Sequence[R]]]
    ) -> AsyncIterator[Sequence[R]]:
        """Without a connection in between: a client that reads slowly holds none."""
        after: Position | None = None
        while True:
            async with self.database.read() as reader:
                found = await read(reader, after)
            if found:
                yield found
            if len(found) < _BATCH:
                return
            after = found[-1].position

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
