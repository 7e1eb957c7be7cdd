"""Statements on mailed tokens: stored as hashes; the use of one consumes all of its purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from twelvefold.database.database import Reader, Transaction
from users.models import EmailChange, EmailToken


@dataclass(frozen=True, slots=True)
class UsedToken:
    """A token that this transaction has consumed, and the address that it proves."""

    hash: bytes
    email: str
    expired: bool


@dataclass(frozen=True, slots=True)
class OpenToken:
    """A token that is neither used nor expired: its account, purpose and recipient."""

    account_id: UUID
    purpose: str
    email: str


_OPEN = select(EmailToken.account_id, EmailToken.purpose, EmailToken.email).where(
    EmailToken.hash == bindparam("token_hash"),
    EmailToken.used_at.is_(None),
    EmailToken.expires_at > func.now(),
)
_CONSUME = (
    update(EmailToken)
    .where(
        EmailToken.account_id == bindparam("of_account"),
        EmailToken.purpose == bindparam("of_purpose"),
        EmailToken.used_at.is_(None),
    )
    .values(used_at=func.now())
    .returning(EmailToken.hash, EmailToken.email, EmailToken.expires_at <= func.now())
)
_CONSUME_SENT_TO = (
    update(EmailToken)
    .where(
        EmailToken.account_id == bindparam("of_account"),
        EmailToken.purpose == bindparam("of_purpose"),
        EmailToken.email.in_(bindparam("emails", expanding=True)),
        EmailToken.used_at.is_(None),
    )
    .values(used_at=func.now())
)
_FORGET_EXPIRED = delete(EmailToken).where(
    EmailToken.account_id == bindparam("account_id"), EmailToken.expires_at <= func.now()
)
_PENDING = select(EmailChange.email).where(EmailChange.account_id == bindparam("account_id"))
_FORGET_PENDING = delete(EmailChange).where(EmailChange.account_id == bindparam("of_account"))


async def insert_token(
    transaction: Transaction,
    *,
    token_hash: bytes,
    account_id: UUID,
    purpose: str,
    job_id: UUID,
    email: str,
    expires: timedelta | datetime,
) -> None:
    """Insert a token, and delete the expired ones of the account, which no job has to do then.

    `expires` is a time or a duration from now.
    """
    await transaction.execute(_FORGET_EXPIRED, {"account_id": account_id})
    await transaction.execute(
        insert(EmailToken).values(
            hash=token_hash,
            account_id=account_id,
            purpose=purpose,
            job_id=job_id,
            email=email,
            expires_at=func.now() + expires if isinstance(expires, timedelta) else expires,
        )
    )


async def find_open(reader: Reader, token_hash: bytes) -> OpenToken | None:
    """Return the token, or None where it is unknown, used or expired."""
    row = (await reader.execute(_OPEN, {"token_hash": token_hash})).one_or_none()
    return None if row is None else OpenToken(*row)


async def consume(transaction: Transaction, account_id: UUID, purpose: str) -> list[UsedToken]:
    """Consume every open token of the account and purpose. The account is locked."""
    parameters = {"of_account": account_id, "of_purpose": purpose}
    return [UsedToken(*row) for row in await transaction.execute(_CONSUME, parameters)]


async def consume_sent_to(
    transaction: Transaction, account_id: UUID, purpose: str, emails: Sequence[str]
) -> None:
    """Consume the account's open tokens of the purpose that were sent to these addresses."""
    parameters = {"of_account": account_id, "of_purpose": purpose, "emails": list(emails)}
    await transaction.execute(_CONSUME_SENT_TO, parameters)


async def request_address(transaction: Transaction, account_id: UUID, email: str) -> None:
    """Set the account's pending address, in place of an earlier one."""
    values = {"email": email, "created_at": func.now()}
    statement = upsert(EmailChange).values(account_id=account_id, **values)
    await transaction.execute(
        statement.on_conflict_do_update(index_elements=[EmailChange.account_id], set_=values)
    )


async def pending_address(reader: Reader, account_id: UUID) -> str | None:
    email: str | None = await reader.scalar(_PENDING, {"account_id": account_id})
    return email


async def forget_pending_address(transaction: Transaction, account_id: UUID) -> None:
    await transaction.execute(_FORGET_PENDING, {"of_account": account_id})
