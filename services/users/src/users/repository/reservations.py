"""Statements on reserved addresses: former ones of an account, while the change can be undone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from twelvefold.contracts.email_address import email_key
from twelvefold.database.database import Reader, Transaction
from twelvefold.database.prepared import PreparedStatement
from users.models import AddressReservation


@dataclass(frozen=True, slots=True)
class Reservation:
    """An address that only the account may take until `expires_at`."""

    email: str
    created_at: datetime
    expires_at: datetime


_COLUMNS = (
    AddressReservation.email,
    AddressReservation.created_at,
    AddressReservation.expires_at,
)
_ALIVE = AddressReservation.expires_at > func.now()
_HOLDER = PreparedStatement(
    select(AddressReservation.account_id).where(
        AddressReservation.email_key == bindparam("key"), _ALIVE
    )
)
_FIND = select(*_COLUMNS).where(
    AddressReservation.email_key == bindparam("key"),
    AddressReservation.account_id == bindparam("of_account"),
    _ALIVE,
)
_LIST = (
    select(*_COLUMNS)
    .where(AddressReservation.account_id == bindparam("of_account"), _ALIVE)
    .order_by(AddressReservation.created_at)
)
_DELETE_EXPIRED = delete(AddressReservation).where(
    AddressReservation.account_id == bindparam("of_account"),
    AddressReservation.expires_at <= func.now(),
)
_RELEASE = delete(AddressReservation).where(
    AddressReservation.email_key == bindparam("key"),
    AddressReservation.account_id == bindparam("of_account"),
)
_RELEASE_SINCE = (
    delete(AddressReservation)
    .where(
        AddressReservation.account_id == bindparam("of_account"),
        AddressReservation.created_at >= bindparam("since"),
    )
    .returning(AddressReservation.email)
)


async def reserve(
    transaction: Transaction, account_id: UUID, email: str, lifetime: timedelta
) -> None:
    """Reserve the address that the locked account has just given up, for `lifetime` from now.

    An existing row has expired or is the account's own, since no other account had the address.
    """
    await transaction.execute(_DELETE_EXPIRED, {"of_account": account_id})
    values = {
        "account_id": account_id,
        "email": email,
        "created_at": func.now(),
        "expires_at": func.now() + lifetime,
    }
    statement = insert(AddressReservation).values(email_key=email_key(email), **values)
    await transaction.execute(
        statement.on_conflict_do_update(index_elements=[AddressReservation.email_key], set_=values)
    )


async def is_reserved(reader: Reader, email: str, *, except_for: UUID) -> bool:
    """Return whether another account than `except_for` may still take the address back.

    Call it after a statement of the same transaction has taken the address: that statement waits
    for an account that gives the address up, so this one sees the reservation.
    """
    row = await reader.fetch_row(_HOLDER, key=email_key(email))
    return row is not None and row["account_id"] != except_for


async def find(reader: Reader, account_id: UUID, email: str) -> Reservation | None:
    """Return the account's reservation of this address, unless it has expired."""
    parameters = {"key": email_key(email), "of_account": account_id}
    row = (await reader.execute(_FIND, parameters)).one_or_none()
    return None if row is None else Reservation(*row)


async def list_of(reader: Reader, account_id: UUID) -> list[Reservation]:
    """Return the account's reservations that have not expired, oldest first."""
    rows = await reader.execute(_LIST, {"of_account": account_id})
    return [Reservation(*row) for row in rows]


async def release(transaction: Transaction, account_id: UUID, email: str) -> None:
    """Delete the account's reservation of an address that it has again."""
    await transaction.execute(_RELEASE, {"key": email_key(email), "of_account": account_id})


async def release_since(transaction: Transaction, account_id: UUID, since: datetime) -> list[str]:
    """Delete the account's reservations from `since` on, and return their addresses."""
    parameters = {"of_account": account_id, "since": since}
    return list((await transaction.execute(_RELEASE_SINCE, parameters)).scalars())
