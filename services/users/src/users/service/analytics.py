"""Counts by day, for admins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from twelvefold.contracts.accounts import DailyAccounts, DailyAccountsReport
from twelvefold.database.database import Database
from twelvefold.errors import FieldError, UnprocessableContent
from users.repository import activity

MAX_DAYS = 366


@dataclass(frozen=True, slots=True)
class Analytics:
    """The use cases."""

    database: Database

    async def daily(self, first: date, last: date) -> DailyAccountsReport:
        """Return the counts of every day from `first` to `last`, both included.

        Raises UnprocessableContent for a reversed range or more than MAX_DAYS.
        """
        days = (last - first).days + 1
        if not 1 <= days <= MAX_DAYS:
            fault = FieldError("/query/to", f"must be 0 to {MAX_DAYS - 1} days after from")
            raise UnprocessableContent("Choose a range of 1 to 366 days.", errors=[fault])
        async with self.database.read() as reader:
            counts = await activity.daily(reader, first, last)
        items = [
            DailyAccounts(day=day, registrations=registrations, active_users=active)
            for day, registrations, active in counts
        ]
        return DailyAccountsReport(items=items)
