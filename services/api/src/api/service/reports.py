"""Reports over several owners: all data of one account, and counts by day."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol, TypeVar
from uuid import UUID

from api.repository.analytics import DayCounts, counts_by_day
from api.repository.images import Image, ImageRepository, Position
from api.users_client import UsersClient
from twelvefold.contracts.accounts import DailyAccounts
from twelvefold.database.database import Database, Reader
from twelvefold.errors import Overloaded, TooManyRequests
from twelvefold.jobs import JobQueue, JobRecord
from twelvefold.security.principals import Principal

_BATCH = 200  # rows per query: some milliseconds of the event loop
MAX_EXPORTS = 8  # concurrent ones in one process
R = TypeVar("R", Image, JobRecord)


class FurtherServices(Protocol):
    """The services that declare the hook of export (`twelvefold.http.account_data`)."""

    async def export(self, account_id: UUID, *, bearer: str) -> Mapping[str, bytes]:
        """Return the JSON object of each service. Raises DependencyUnavailable where one fails."""
        ...


@dataclass(frozen=True, slots=True)
class AccountData:
    """All data of one account. Rows are read in batches while they are sent, so that their number
    affects neither memory nor the event loop; no batch is empty.
    """

    account: bytes  # a `UserExport` as JSON, as users wrote it
    services: Mapping[str, bytes]  # a JSON object of each further service
    images: AsyncIterator[Sequence[Image]]
    jobs: AsyncIterator[Sequence[JobRecord]]


@dataclass(frozen=True, slots=True)
class Reports:
    """Use cases that combine the data of users and api."""

    users: UsersClient
    database: Database
    images: ImageRepository
    queue: JobQueue
    further: FurtherServices
    exporting: set[UUID] = field(default_factory=set)  # accounts, in this process

    @asynccontextmanager
    async def export(self, principal: Principal) -> AsyncIterator[AccountData]:
        """Yield all data of the caller, one export at a time.

        Raises TooManyRequests while this process sends another export of the account, Overloaded
        where it sends too many, NotFound where the account was deleted, DependencyUnavailable
        where a service that keeps data of the account fails: a part would look like everything.
        """
        if principal.id in self.exporting:
            raise TooManyRequests(
                "Another export of your account is in progress. Try again later.", retry_after=5
            )
        if len(self.exporting) >= MAX_EXPORTS:
            raise Overloaded("Too many exports are in progress. Try again later.", retry_after=5)
        self.exporting.add(principal.id)
        try:
            account = await self.users.export(principal.id, bearer=principal.token)
            services = await self.further.export(principal.id, bearer=principal.token)

            async def images(reader: Reader, after: Position | None) -> Sequence[Image]:
                return await self.images.list(
                    reader, owner_id=principal.id, limit=_BATCH, after=after
                )

            async def jobs(reader: Reader, after: Position | None) -> Sequence[JobRecord]:
                return await self.queue.list(
                    reader, owner_id=principal.id, limit=_BATCH, after=after
                )

            # An unavailable PostgreSQL is an error before the first byte.
            await self.database.ping()
            yield AccountData(account, services, self._batches(images), self._batches(jobs))
        finally:
            self.exporting.discard(principal.id)

    async def _batches(
        self, read: Callable[[Reader, Position | None], Awaitable[Sequence[R]]]
    ) -> AsyncIterator[Sequence[R]]:
        """Yield batches; no connection is held in between, so a slow client holds none."""
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
