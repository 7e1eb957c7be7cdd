"""Statements on notices: the recipient of an email about a change, by the email's job."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import bindparam, delete, func, insert, select

from twelvefold.database.database import Reader, Transaction
from users.models import Notice

_ADDRESS = select(Notice.email).where(Notice.job_id == bindparam("job_id"))
_FORGET_EXPIRED = delete(Notice).where(
    Notice.account_id == bindparam("of_account"), Notice.expires_at <= func.now()
)


async def insert_notice(
    transaction: Transaction, *, job_id: UUID, account_id: UUID, email: str, lifetime: timedelta
) -> None:
    """Insert a notice, and delete the expired ones of the account, which no job has to do then."""
    await transaction.execute(_FORGET_EXPIRED, {"of_account": account_id})
    await transaction.execute(
        insert(Notice).values(
            job_id=job_id,
            account_id=account_id,
            email=email,
            expires_at=func.now() + lifetime,
        )
    )


async def address(reader: Reader, job_id: UUID) -> str | None:
    email: str | None = await reader.scalar(_ADDRESS, {"job_id": job_id})
    return email
