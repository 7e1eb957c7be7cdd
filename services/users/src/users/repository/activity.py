"""Statements on counts by day (UTC): registrations and active accounts.

Counts stay after a deletion: registrations as a number, days of activity under a random id.
"""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import Date, bindparam, cast, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from twelvefold.database.database import Reader, Transaction
from users.models import Account, DailyActive, Departure
from users.repository.accounts import AccountRecord

_TODAY = func.timezone("UTC", func.now())
_ACTIVE = insert(DailyActive).on_conflict_do_nothing()
_FIRST, _LAST = bindparam("first", type_=Date), bindparam("last", type_=Date)
_REGISTERED_ON = cast(func.timezone("UTC", Account.created_at), Date)
_REMAINING = (
    select(_REGISTERED_ON, func.count())
    .where(
        Account.created_at >= func.timezone("UTC", cast(_FIRST, Date) + text("time '00:00'")),
        Account.created_at < func.timezone("UTC", cast(_LAST, Date) + text("interval '1 day'")),
    )
    .group_by(_REGISTERED_ON)
)
_DELETED = select(Departure.registered_on, Departure.accounts).where(
    Departure.registered_on.between(_FIRST, _LAST)
)
_ACTIVE_BY_DAY = (
    select(DailyActive.day, func.count())
    .where(DailyActive.day.between(_FIRST, _LAST))
    .group_by(DailyActive.day)
)
_DAYS = (
    select(DailyActive.day)
    .where(DailyActive.account_id == bindparam("of_account"))
    .order_by(DailyActive.day)
)
_UNLINK = (
    update(DailyActive)
    .where(DailyActive.account_id == bindparam("of_account"))
    .values(account_id=func.gen_random_uuid())
)


async def mark_active(transaction: Transaction, account_id: UUID) -> None:
    await transaction.execute(_ACTIVE.values(day=_TODAY, account_id=account_id))


async def days_of(reader: Reader, account_id: UUID) -> list[date]:
    return list((await reader.execute(_DAYS, {"of_account": account_id})).scalars())


async def unlink(transaction: Transaction, account_id: UUID) -> None:
    """Keep the account's days of activity as counts that identify no account."""
    await transaction.execute(_UNLINK, {"of_account": account_id})


async def count_departure(transaction: Transaction, deleted: AccountRecord) -> None:
    """Count the registration of an account that this transaction deletes."""
    registered_on = cast(func.timezone("UTC", deleted.created_at), Date)
    statement = insert(Departure).values(registered_on=registered_on, accounts=1)
    await transaction.execute(
        statement.on_conflict_do_update(
            index_elements=[Departure.registered_on], set_={"accounts": Departure.accounts + 1}
        )
    )


async def daily(reader: Reader, first: date, last: date) -> list[tuple[date, int, int]]:
    """Return (day, registrations, active accounts) from `first` to `last`, both included."""
    parameters = {"first": first, "last": last}
    registrations: dict[date, int] = {}
    for query in (_REMAINING, _DELETED):
        for day, count in await reader.execute(query, parameters):
            registrations[day] = registrations.get(day, 0) + count
    rows = await reader.execute(_ACTIVE_BY_DAY, parameters)
    active: dict[date, int] = {row[0]: row[1] for row in rows}
    days = [first + timedelta(number) for number in range((last - first).days + 1)]
    return [(day, registrations.get(day, 0), active.get(day, 0)) for day in days]
