"""Statements on mailed tokens: kept hashed, used once, all of a purpose used up by one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import bindparam, delete, func, insert, select, update

from twelvefold.database import Reader, Transaction
from users.models import EmailToken


@dataclass(frozen=True, slots=True)
class UsedToken:
    """A token that this transaction has used up, and the address that it proves."""

    hash: bytes
    email: str
    expired: bool


_ACCOUNT = select(EmailToken.account_id).where(
    EmailToken.hash == bindparam("token_hash"),
    EmailToken.purpose == bindparam("purpose"),
    EmailToken.used_at.is_(None),
    EmailToken.expires_at > func.now(),
)
_USE_UP = (
    update(EmailToken)
    .where(
        EmailToken.account_id == bindparam("of_account"),
        EmailToken.purpose == bindparam("of_purpose"),
        EmailToken.used_at.is_(None),
    )
    .values(used_at=func.now())
    .returning(EmailToken.hash, EmailToken.email, EmailToken.expires_at <= func.now())
)
_FORGET_EXPIRED = delete(EmailToken).where(
    EmailToken.account_id == bindparam("account_id"), EmailToken.expires_at <= func.now()
)


async def insert_token(
    unit: Transaction,
    *,
    token_hash: bytes,
    account_id: UUID,
    purpose: str,
    job_id: UUID,
    email: str,
    lifetime: timedelta,
) -> None:
    """Also removes what of the account has expired, so that nothing else has to."""
    await unit.execute(_FORGET_EXPIRED, {"account_id": account_id})
    await unit.execute(
        insert(EmailToken).values(
            hash=token_hash,
            account_id=account_id,
            purpose=purpose,
            job_id=job_id,
            email=email,
            expires_at=func.now() + lifetime,
        )
    )


async def account_of(reader: Reader, token_hash: bytes, purpose: str) -> UUID | None:
    """Whose token this is; None where it is unknown, used, expired or for something else."""
    parameters = {"token_hash": token_hash, "purpose": purpose}
    found: UUID | None = await reader.scalar(_ACCOUNT, parameters)
    return found


async def use_up(unit: Transaction, account_id: UUID, purpose: str) -> list[UsedToken]:
    """Ends every open token of the account and purpose. The account is locked."""
    parameters = {"of_account": account_id, "of_purpose": purpose}
    return [UsedToken(*row) for row in await unit.execute(_USE_UP, parameters)]
