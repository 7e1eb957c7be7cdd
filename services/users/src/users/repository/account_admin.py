"""Statements for admins: pages of all accounts, and which accounts are admins."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, literal, select, text, tuple_

from twelvefold.contracts.accounts import Role
from twelvefold.database.database import Reader, Transaction
from users.models import Account
from users.repository.accounts import RECORD, AccountRecord, record

_IS_ADMIN = (Account.role == Role.ADMIN.value, Account.disabled_at.is_(None))
_ACTIVE_ADMINS = select(Account.id).where(*_IS_ADMIN).limit(2)
# One at a time: two admins who demote each other would each count the other.
_LOCK_ADMIN_CHANGES = text("SELECT pg_advisory_xact_lock(hashtextextended('users:standing', 0))")
NOW = func.now()


async def page(
    reader: Reader, after: tuple[datetime, UUID] | None, limit: int
) -> list[AccountRecord]:
    """Return at most `limit` accounts beyond `after`, newest first."""
    query = select(*RECORD)
    if after is not None:
        position = (Account.created_at, Account.id)
        values = (literal(after[0], position[0].type), literal(after[1], position[1].type))
        query = query.where(tuple_(*position) < tuple_(*values))
    query = query.order_by(Account.created_at.desc(), Account.id.desc()).limit(limit)
    return [record(row) for row in await reader.execute(query)]


async def lock_admin_changes(transaction: Transaction) -> None:
    """Let no other transaction change who is an admin. Take it before the lock of any row."""
    await transaction.execute(_LOCK_ADMIN_CHANGES)


async def is_admin(reader: Reader, account_id: UUID) -> bool:
    """Return whether the account is an admin, disabled or not."""
    role = await reader.scalar(select(Account.role).where(Account.id == account_id))
    return bool(role == Role.ADMIN.value)


async def is_active_admin(reader: Reader, account_id: UUID) -> bool:
    """Return whether the account is an admin and not disabled."""
    admin = await reader.scalar(select(Account.id).where(Account.id == account_id, *_IS_ADMIN))
    return admin is not None


async def is_only_admin(reader: Reader, account_id: UUID) -> bool:
    """Return whether the account is the only admin that is not disabled."""
    return list((await reader.execute(_ACTIVE_ADMINS)).scalars()) == [account_id]
