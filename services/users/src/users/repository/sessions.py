"""Statements on sessions and their refresh tokens.

A transaction that changes both locks the account before its sessions, so that none deadlock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Interval, LargeBinary, bindparam, delete, func, insert, or_, select, update

from twelvefold.contracts.accounts import Role
from twelvefold.database.database import Reader, Transaction
from users.models import Account, RefreshToken, Session


@dataclass(frozen=True, slots=True)
class LockedSession:
    """A session that is locked until this transaction ends."""

    id: UUID
    account_id: UUID
    role: Role
    revoked: bool
    expired: bool
    disabled: bool


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session as it is listed for its owner."""

    id: UUID
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    user_agent: str | None
    address: str | None


@dataclass(frozen=True, slots=True)
class TokenUse:
    """Whether a refresh token was exchanged before, and if so within the leeway.

    `successor_salt` is None before the first exchange, and after one by a release that kept none.
    """

    used: bool
    within_leeway: bool
    successor_salt: bytes | None


_LOCK_BY_TOKEN = (
    select(
        Session.id,
        Session.account_id,
        Account.role,
        Session.revoked_at.is_not(None),
        Session.expires_at <= func.now(),
        Account.disabled_at.is_not(None),
    )
    .join(Account, Account.id == Session.account_id)
    .where(
        Session.id
        == select(RefreshToken.session_id)
        .where(RefreshToken.hash == bindparam("token_hash"))
        .scalar_subquery()
    )
    .with_for_update(of=Session)
)
# A statement of its own after the lock: it sees the commit that the lock waited for.
_USE = select(
    RefreshToken.used_at.is_not(None),
    func.coalesce(
        RefreshToken.used_at > func.clock_timestamp() - bindparam("leeway", type_=Interval), False
    ),
    RefreshToken.successor_salt,
).where(RefreshToken.hash == bindparam("token_hash"))
_IS_USED = select(RefreshToken.used_at.is_not(None)).where(
    RefreshToken.hash == bindparam("token_hash")
)
# Only the first exchange counts: the leeway does not grow with each further one.
_MARK_USED = (
    update(RefreshToken)
    .where(RefreshToken.hash == bindparam("token_hash"))
    .values(
        used_at=func.coalesce(RefreshToken.used_at, func.clock_timestamp()),
        successor_salt=bindparam("salt", type_=LargeBinary),
    )
)
_TOUCH = (
    update(Session).where(Session.id == bindparam("session_id")).values(last_used_at=func.now())
)
_REVOKE = (
    update(Session)
    .where(Session.id == bindparam("session_id"), Session.revoked_at.is_(None))
    .values(revoked_at=func.now())
)
_ALIVE = (Session.revoked_at.is_(None), Session.expires_at > func.now())
_LIVE = (
    select(
        Session.id,
        Session.created_at,
        Session.last_used_at,
        Session.expires_at,
        Session.user_agent,
        Session.address,
    )
    .where(Session.account_id == bindparam("account_id"), *_ALIVE)
    .order_by(Session.last_used_at.desc(), Session.id.desc())
    .limit(bindparam("at_most"))
)
_REVOKE_OWN = (
    update(Session)
    .where(
        Session.id == bindparam("session_id"),
        Session.account_id == bindparam("of_account"),
        *_ALIVE,
    )
    .values(revoked_at=func.now())
    .returning(Session.id)
)
_LOGGED_IN_WITHIN = select(Session.id).where(
    Session.id == bindparam("session_id"),
    Session.created_at > func.now() - bindparam("max_age", type_=Interval),
    *_ALIVE,
)
_SESSION_OF = select(RefreshToken.session_id).where(RefreshToken.hash == bindparam("token_hash"))
_REVOKED_KEPT = timedelta(days=1)
_FORGET_ENDED = delete(Session).where(
    Session.account_id == bindparam("account_id"),
    or_(Session.expires_at <= func.now(), Session.revoked_at < func.now() - _REVOKED_KEPT),
)


async def insert_session(
    transaction: Transaction,
    *,
    session_id: UUID,
    account_id: UUID,
    lifetime: timedelta,
    user_agent: str | None,
    address: str | None,
) -> None:
    await transaction.execute(
        insert(Session).values(
            id=session_id,
            account_id=account_id,
            expires_at=func.now() + lifetime,
            user_agent=user_agent,
            address=address,
        )
    )


async def insert_token(transaction: Transaction, token_hash: bytes, session_id: UUID) -> None:
    await transaction.execute(insert(RefreshToken), {"hash": token_hash, "session_id": session_id})


async def lock_by_token(transaction: Transaction, token_hash: bytes) -> LockedSession | None:
    """Lock the session of a refresh token, and return it; None for an unknown token."""
    row = (await transaction.execute(_LOCK_BY_TOKEN, {"token_hash": token_hash})).one_or_none()
    if row is None:
        return None
    session_id, account_id, role, revoked, expired, disabled = row
    return LockedSession(session_id, account_id, Role(role), revoked, expired, disabled)


async def token_use(transaction: Transaction, token_hash: bytes, leeway: timedelta) -> TokenUse:
    """Return the use of the token by the database's clock. Its session must be locked."""
    row = (await transaction.execute(_USE, {"token_hash": token_hash, "leeway": leeway})).one()
    return TokenUse(*row)


async def is_used(transaction: Transaction, token_hash: bytes) -> bool:
    """Return whether the token was exchanged before. Its session must be locked."""
    return bool(await transaction.scalar(_IS_USED, {"token_hash": token_hash}))


async def mark_used(transaction: Transaction, token_hash: bytes, salt: bytes) -> None:
    """Mark the token as used with the successor of `salt`. Its session must be locked."""
    await transaction.execute(_MARK_USED, {"token_hash": token_hash, "salt": salt})


async def touch(transaction: Transaction, session_id: UUID) -> None:
    """Set the time of the session's last use."""
    await transaction.execute(_TOUCH, {"session_id": session_id})


async def revoke(transaction: Transaction, session_id: UUID) -> None:
    await transaction.execute(_REVOKE, {"session_id": session_id})


async def revoke_all(
    transaction: Transaction, account_id: UUID, *, except_id: UUID | None = None
) -> list[UUID]:
    """Revoke the account's sessions, and return the ids of the live ones. The account is locked."""
    statement = (
        update(Session)
        .where(Session.account_id == account_id, *_ALIVE)
        .values(revoked_at=func.now())
        .returning(Session.id)
    )
    if except_id is not None:
        statement = statement.where(Session.id != except_id)
    return list((await transaction.execute(statement)).scalars())


async def live(reader: Reader, account_id: UUID, limit: int) -> list[LiveSession]:
    """Return the account's live sessions, the latest used first."""
    rows = await reader.execute(_LIVE, {"account_id": account_id, "at_most": limit})
    return [LiveSession(*row) for row in rows]


async def revoke_own(transaction: Transaction, account_id: UUID, session_id: UUID) -> bool:
    """Revoke the account's session, and return whether it was live."""
    parameters = {"session_id": session_id, "of_account": account_id}
    return await transaction.scalar(_REVOKE_OWN, parameters) is not None


async def logged_in_within(reader: Reader, session_id: UUID, max_age: timedelta) -> bool:
    """Return whether the session is live and its login, not its newest token, within `max_age`."""
    parameters = {"session_id": session_id, "max_age": max_age}
    return await reader.scalar(_LOGGED_IN_WITHIN, parameters) is not None


async def session_of(reader: Reader, token_hash: bytes) -> UUID | None:
    session_id: UUID | None = await reader.scalar(_SESSION_OF, {"token_hash": token_hash})
    return session_id


async def forget_ended(transaction: Transaction, account_id: UUID) -> None:
    """Delete ended sessions; their tokens are refused as unknown from then on."""
    await transaction.execute(_FORGET_ENDED, {"account_id": account_id})
