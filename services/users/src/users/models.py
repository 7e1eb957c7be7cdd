"""The tables of schema `users`, declared once; Core statements in `repository` use them.

There is no ORM session and no relationship: the repository returns rows as frozen records.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from twelvefold.http.rest.idempotency_key import idempotency_table

SCHEMA = "users"
_MOMENT = DateTime(timezone=True)


class Base(DeclarativeBase):
    metadata = MetaData(schema=SCHEMA)
    type_annotation_map = {str: Text, datetime: _MOMENT, bytes: LargeBinary}


class Account(Base):
    """A person's account. Every change of its public form increments `version`."""

    __tablename__ = "accounts"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]  # as entered
    email_key: Mapped[str] = mapped_column(unique=True)  # by `twelvefold.contracts.email_address`
    name: Mapped[str]
    role: Mapped[str]
    password_hash: Mapped[str]
    # Changes with the password, not with a rehash: a login checks that it has not changed.
    password_changed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    email_verified_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    # Variants of the newest job that reported; None before the first report.
    avatar: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    avatar_job_id: Mapped[UUID | None]
    avatar_job_created_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint("role IN ('user', 'admin')", name="accounts_role"),
        Index("accounts_by_time", "created_at", "id"),
    )


class Session(Base):
    """A login: the family of its refresh tokens, and `sid` of its access tokens."""

    __tablename__ = "sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey(Account.id, ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    user_agent: Mapped[str | None]
    address: Mapped[str | None]

    __table_args__ = (Index("sessions_by_account", "account_id"),)


class RefreshToken(Base):
    """One token of a family, by its SHA-256. Used tokens are kept in order to detect a reuse."""

    __tablename__ = "refresh_tokens"

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey(Session.id, ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    used_at: Mapped[datetime | None]
    # The successor is derived from it and the presented token; None before the first use.
    successor_salt: Mapped[bytes | None]

    __table_args__ = (Index("refresh_tokens_by_session", "session_id"),)


class EmailToken(Base):
    """A mailed proof of an address, by its SHA-256. A retried job has several."""

    __tablename__ = "email_tokens"

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey(Account.id, ondelete="CASCADE"))
    purpose: Mapped[str]
    job_id: Mapped[UUID]
    email: Mapped[str]  # the recipient: the address that the token proves
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]

    __table_args__ = (Index("email_tokens_by_account", "account_id", "purpose"),)


class EmailChange(Base):
    """The new address that an account requested last and has not confirmed."""

    __tablename__ = "email_changes"

    account_id: Mapped[UUID] = mapped_column(
        ForeignKey(Account.id, ondelete="CASCADE"), primary_key=True
    )
    email: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Notice(Base):
    """The recipient of an email about a change where it is not the account's current address."""

    __tablename__ = "notices"

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey(Account.id, ondelete="CASCADE"))
    email: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]

    __table_args__ = (Index("notices_by_account", "account_id"),)


class AddressReservation(Base):
    """A former address of an account, which no other may take while the change can be undone."""

    __tablename__ = "address_reservations"

    email_key: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey(Account.id, ondelete="CASCADE"))
    email: Mapped[str]  # as entered
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]

    __table_args__ = (Index("address_reservations_by_account", "account_id"),)


class DailyActive(Base):
    """An account was active on a day (UTC). After a deletion the row stays under a random id."""

    __tablename__ = "daily_active"

    day: Mapped[date] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(primary_key=True)

    __table_args__ = (Index("daily_active_by_account", "account_id"),)


class Departure(Base):
    """The number of deleted accounts by the day (UTC) of their registration."""

    __tablename__ = "departures"

    registered_on: Mapped[date] = mapped_column(primary_key=True)
    accounts: Mapped[int] = mapped_column(BigInteger)


IDEMPOTENCY_KEYS = idempotency_table(Base.metadata, SCHEMA)
