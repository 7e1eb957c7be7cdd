"""Statements on the password's hash and the account's state, which a login is checked against."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, bindparam, func, select, update

from twelvefold.contracts.accounts import Role
from twelvefold.contracts.email_address import email_key
from twelvefold.database.database import Reader, Transaction
from users.models import Account
from users.repository.accounts import AccountRecord, change


@dataclass(frozen=True, slots=True)
class Credentials:
    """The values that a login is checked against."""

    account_id: UUID
    email: str
    role: Role
    password_hash: str
    password_changed_at: datetime
    disabled: bool


_CREDENTIALS = (
    Account.id,
    Account.email,
    Account.role,
    Account.password_hash,
    Account.password_changed_at,
    Account.disabled_at.is_not(None),
)
_BY_EMAIL = select(*_CREDENTIALS).where(Account.email_key == bindparam("key"))
_BY_ID = select(*_CREDENTIALS).where(Account.id == bindparam("account_id"))
# Waits for a concurrent change of the password or the state; logins do not block each other.
_UNCHANGED_SINCE = (
    select(Account.role)
    .where(
        Account.id == bindparam("account_id"),
        Account.password_changed_at == bindparam("password_changed_at"),
        Account.disabled_at.is_(None),
    )
    .with_for_update(read=True)
)
_CHANGED_AT = select(Account.password_changed_at).where(Account.id == bindparam("account_id"))
_REHASH = (
    update(Account)
    .where(
        Account.id == bindparam("account_id"),
        Account.password_hash == bindparam("old_hash"),
    )
    .values(password_hash=bindparam("new_hash"))
)


async def by_email(reader: Reader, address: str) -> Credentials | None:
    return await _find(reader, _BY_EMAIL, {"key": email_key(address)})


async def by_id(reader: Reader, account_id: UUID) -> Credentials | None:
    return await _find(reader, _BY_ID, {"account_id": account_id})


async def _find(
    reader: Reader, query: Executable, parameters: dict[str, Any]
) -> Credentials | None:
    row: Any = (await reader.execute(query, parameters)).one_or_none()
    if row is None:
        return None
    account_id, email, role, password_hash, changed_at, disabled = row
    return Credentials(account_id, email, Role(role), password_hash, changed_at, disabled)


async def role_if_unchanged(transaction: Transaction, checked: Credentials) -> Role | None:
    """Return the role if password and state are still those that were checked, else None.

    A concurrent change waits until the transaction ends, and then finds the new session.
    """
    role = await transaction.scalar(
        _UNCHANGED_SINCE,
        {
            "account_id": checked.account_id,
            "password_changed_at": checked.password_changed_at,
        },
    )
    return None if role is None else Role(role)


async def set_password(
    transaction: Transaction, account_id: UUID, password_hash: str
) -> AccountRecord | None:
    return await change(
        transaction,
        account_id,
        password_hash=password_hash,
        password_changed_at=func.clock_timestamp(),
    )


async def is_unchanged(transaction: Transaction, checked: Credentials) -> bool:
    """Return whether the password is still the one that was checked. The account is locked."""
    changed_at: datetime | None = await transaction.scalar(
        _CHANGED_AT, {"account_id": checked.account_id}
    )
    return changed_at == checked.password_changed_at


async def replace_hash(transaction: Transaction, account_id: UUID, old: str, new: str) -> None:
    """Store the same password hashed with the current parameters; the version stays."""
    await transaction.execute(_REHASH, {"account_id": account_id, "old_hash": old, "new_hash": new})
