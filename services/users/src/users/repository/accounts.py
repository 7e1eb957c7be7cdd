"""Statements on accounts. Every change of the public form increments the row's version."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from twelvefold.contracts.accounts import Role, User
from twelvefold.contracts.email_address import email_key
from twelvefold.database.database import Reader, Transaction
from twelvefold.database.prepared import PreparedReader, PreparedStatement
from twelvefold.observability.spans import trace_database_operation
from users.models import Account
from users.repository import reservations


class _AddressReserved(Exception):
    """Rolls back to the savepoint before the address was taken."""


class AccountRecord(User):
    """The public form of an account, and the version of its row.

    A field of `User` is a column of the same name or stands in `_DERIVED`; nothing else lists them.
    """

    version: int


@dataclass(frozen=True, slots=True)
class Recipient:
    """The recipient of an email."""

    email: str
    name: str
    verified: bool


_DERIVED = {
    "email_verified": Account.email_verified_at.is_not(None),
    "disabled": Account.disabled_at.is_not(None),
    "has_avatar": Account.avatar.is_not(None),
}
RECORD = tuple(
    _DERIVED[name].label(name) if name in _DERIVED else getattr(Account, name)
    for name in AccountRecord.model_fields
)
_CHANGED: dict[str, Any] = {"version": Account.version + 1, "updated_at": func.now()}

_BY_ID = PreparedStatement(select(*RECORD).where(Account.id == bindparam("account_id")))
_ID_BY_EMAIL = PreparedStatement(select(Account.id).where(Account.email_key == bindparam("key")))
_RECIPIENT = (
    select(Account.email, Account.name, Account.email_verified_at.is_not(None))
    .where(Account.id == bindparam("account_id"), Account.disabled_at.is_(None))
    .with_for_update(read=True, key_share=True)
)
_LOCK = select(*RECORD).where(Account.id == bindparam("account_id")).with_for_update()
_VERSION = select(Account.version).where(Account.id == bindparam("account_id"))
_INSERT = insert(Account).on_conflict_do_nothing(index_elements=[Account.email_key])
_AVATAR = select(Account.avatar, Account.avatar_job_id).where(Account.id == bindparam("account_id"))


def record(row: Any) -> AccountRecord:
    """Return the record of a row of `RECORD`, without validating what our own tables hold."""
    return _construct(dict(row._mapping))  # noqa: SLF001  (public by SQLAlchemy's documentation)


def _construct(row: Mapping[str, Any]) -> AccountRecord:
    return AccountRecord.model_construct(**{**row, "role": Role(row["role"])})


@trace_database_operation("users.accounts", "select")
async def by_id(reader: PreparedReader, account_id: UUID) -> AccountRecord | None:
    row = await reader.fetch_row(_BY_ID, account_id=account_id)
    return None if row is None else _construct(dict(row))


async def id_by_email(reader: Reader | PreparedReader, address: str) -> UUID | None:
    row = await reader.fetch_row(_ID_BY_EMAIL, key=email_key(address))
    return None if row is None else row["id"]


@cache
def _prepare_insert(profile: frozenset[str], *, verified: bool) -> PreparedStatement:
    """Return the statement that inserts these columns of a profile: one or two in a process."""
    names = ("id", "email", "email_key", *sorted(profile), "role", "password_hash")
    values: dict[str, Any] = {name: bindparam(name) for name in names}
    if verified:
        values["email_verified_at"] = func.now()
    return PreparedStatement(_INSERT.values(values).returning(*RECORD))


@trace_database_operation("users.accounts", "insert")
async def insert_account(
    transaction: Transaction,
    *,
    account_id: UUID,
    email: str,
    profile: Mapping[str, Any],
    password_hash: str,
    role: Role = Role.USER,
    verified: bool = False,
) -> AccountRecord | None:
    """Return the new account, or None where the address is taken.

    `profile` is that of `UserCreate`. Waits for a concurrent registration of the address.
    """
    row = await transaction.fetch_row(
        _prepare_insert(frozenset(profile), verified=verified),
        id=account_id,
        email=email,
        email_key=email_key(email),
        **profile,
        role=role.value,
        password_hash=password_hash,
    )
    return None if row is None else _construct(dict(row))


@trace_database_operation("users.accounts", "update")
async def change(
    transaction: Transaction,
    account_id: UUID,
    expected: Collection[int] | None = None,
    **values: Any,
) -> AccountRecord | None:
    """Return the account after the change.

    None where it does not exist or is at none of the `expected` versions.
    """
    statement = update(Account).where(Account.id == account_id).values(**_CHANGED, **values)
    if expected is not None:
        statement = statement.where(Account.version.in_(expected))
    row = (await transaction.execute(statement.returning(*RECORD))).one_or_none()
    return None if row is None else record(row)


@trace_database_operation("users.accounts", "delete")
async def remove(
    transaction: Transaction, account_id: UUID, expected: Collection[int] | None = None
) -> AccountRecord | None:
    """Delete the account with its sessions and tokens. Return it as it was, or None as `change`."""
    statement = delete(Account).where(Account.id == account_id)
    if expected is not None:
        statement = statement.where(Account.version.in_(expected))
    row = (await transaction.execute(statement.returning(*RECORD))).one_or_none()
    return None if row is None else record(row)


async def version(reader: Reader, account_id: UUID) -> int | None:
    current: int | None = await reader.scalar(_VERSION, {"account_id": account_id})
    return current


async def lock(transaction: Transaction, account_id: UUID) -> AccountRecord | None:
    """Lock the account until the transaction ends, and return it."""
    row = (await transaction.execute(_LOCK, {"account_id": account_id})).one_or_none()
    return None if row is None else record(row)


async def mark_verified(transaction: Transaction, account_id: UUID) -> AccountRecord | None:
    return await change(transaction, account_id, email_verified_at=func.now())


async def take_address(
    transaction: Transaction, account_id: UUID, email: str
) -> AccountRecord | None:
    """Set the verified address of the locked account, and return the account.

    None where another account has the address or has reserved it.
    """
    try:
        async with transaction.savepoint():
            changed = await change(
                transaction,
                account_id,
                email=email,
                email_key=email_key(email),
                email_verified_at=func.now(),
            )
            if await reservations.is_reserved(transaction, email, except_for=account_id):
                raise _AddressReserved
    except (IntegrityError, _AddressReserved):
        return None
    return changed


async def promote(
    transaction: Transaction, account_id: UUID, *, verified: bool
) -> AccountRecord | None:
    """Make the account an admin; `verified` also marks its address as verified."""
    values: dict[str, Any] = {"role": Role.ADMIN.value}
    if verified:
        values["email_verified_at"] = func.coalesce(Account.email_verified_at, func.now())
    return await change(transaction, account_id, **values)


async def recipient(transaction: Transaction, account_id: UUID) -> Recipient | None:
    """Return the recipient, and keep the account from deletion until the transaction ends.

    None where there is no such account or it is disabled.
    """
    row = (await transaction.execute(_RECIPIENT, {"account_id": account_id})).one_or_none()
    return None if row is None else Recipient(*row)


async def set_avatar(
    transaction: Transaction,
    account_id: UUID,
    variants: list[dict[str, Any]],
    *,
    job_id: UUID,
    job_created_at: datetime,
) -> AccountRecord | None:
    """Set the variants of a newer job, and return the account.

    None where the account does not exist or has the variants of a newer job.
    """
    current = (Account.avatar_job_created_at, Account.avatar_job_id)
    reported = (literal(job_created_at, current[0].type), literal(job_id, current[1].type))
    statement = (
        update(Account)
        .where(
            Account.id == account_id,
            or_(current[1].is_(None), tuple_(*current) < tuple_(*reported)),
        )
        .values(
            **_CHANGED,
            avatar=variants,
            avatar_job_id=job_id,
            avatar_job_created_at=job_created_at,
        )
        .returning(*RECORD)
    )
    row = (await transaction.execute(statement)).one_or_none()
    return None if row is None else record(row)


async def avatar(
    reader: Reader, account_id: UUID
) -> tuple[list[dict[str, Any]], UUID | None] | None:
    """Return the variants (empty before the first job) and their job; None without the account."""
    row = (await reader.execute(_AVATAR, {"account_id": account_id})).one_or_none()
    return None if row is None else (row[0] or [], row[1])


async def avatar_keys(reader: Reader, ids: Sequence[UUID]) -> set[str]:
    """Return the key of every object that the avatars of these accounts consist of."""
    rows = await reader.execute(select(Account.avatar).where(Account.id.in_(ids)))
    return {variant["object_key"] for (avatar,) in rows for variant in avatar or ()}
