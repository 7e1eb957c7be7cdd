"""Statements on all data of one account: to export it, and to remove the rest of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import LargeBinary, bindparam, delete, func, select

from twelvefold.database.database import Reader, Transaction
from users.models import IDEMPOTENCY_KEYS, Account, EmailToken, Notice


@dataclass(frozen=True, slots=True)
class AccountTimestamps:
    """The timestamps of an account that its public form does not show."""

    password_changed_at: datetime
    email_verified_at: datetime | None
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class SentMail:
    """An email that was sent: one with a link (the link is not stored), or a notice of a change."""

    purpose: str
    email: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


_ACCOUNT_TIMESTAMPS = select(
    Account.password_changed_at, Account.email_verified_at, Account.disabled_at
).where(Account.id == bindparam("account_id"))
_LINKS = select(
    EmailToken.purpose,
    EmailToken.email,
    EmailToken.created_at,
    EmailToken.expires_at,
    EmailToken.used_at,
).where(EmailToken.account_id == bindparam("account_id"))
_NOTICES = select(Notice.email, Notice.created_at, Notice.expires_at).where(
    Notice.account_id == bindparam("account_id")
)
_FORGET_REPLIES = delete(IDEMPOTENCY_KEYS).where(
    func.position(bindparam("needle", type_=LargeBinary).op("IN")(IDEMPOTENCY_KEYS.c.body)) > 0
)


async def account_timestamps(reader: Reader, account_id: UUID) -> AccountTimestamps | None:
    row = (await reader.execute(_ACCOUNT_TIMESTAMPS, {"account_id": account_id})).one_or_none()
    return None if row is None else AccountTimestamps(*row)


async def mails(reader: Reader, account_id: UUID) -> list[SentMail]:
    """Return the emails, oldest first; expired ones may have been deleted."""
    parameters = {"account_id": account_id}
    links = [SentMail(*row) for row in await reader.execute(_LINKS, parameters)]
    notices = [
        SentMail("notice", *row, used_at=None) for row in await reader.execute(_NOTICES, parameters)
    ]
    return sorted([*links, *notices], key=lambda mail: mail.created_at)


async def forget_replies(transaction: Transaction, account_id: UUID) -> None:
    """Delete the stored responses to the registration, which hold the account's data."""
    await transaction.execute(_FORGET_REPLIES, {"needle": f'"id":"{account_id}"'.encode()})
