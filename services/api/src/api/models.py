"""The tables of schema `api`, declared once; Core statements in `repository` use them.

There is no ORM session and no relationship: the repository returns rows as frozen dataclasses.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Index, MetaData, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from twelvefold.http.rest.idempotency_key import idempotency_table


class Base(DeclarativeBase):
    metadata = MetaData(schema="api")


class ImageRow(Base):
    """An uploaded image: its source object, and the variants of the newest job that reported."""

    __tablename__ = "images"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID]
    status: Mapped[str] = mapped_column(Text)
    # Why the image was rejected, for its owner.
    reason: Mapped[str | None] = mapped_column(Text)
    object_key: Mapped[str] = mapped_column(Text, unique=True)
    content_type: Mapped[str] = mapped_column(
        Text
    )  # detected from the bytes, not the client's header
    size: Mapped[int] = mapped_column(BigInteger)  # bytes of the source
    sha256: Mapped[str] = mapped_column(Text)  # of the source, hexadecimal
    variants: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'"))
    # The job of this result; None before the first report.
    job_id: Mapped[UUID | None]
    job_created_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    __table_args__ = (
        CheckConstraint("status IN ('processing', 'ready', 'rejected')", name="images_status"),
        # The order of both lists: of one owner, and of all owners for admins.
        Index("images_by_owner", "owner_id", "created_at", "id"),
        Index("images_by_time", "created_at", "id"),
        Index(
            "images_unfinished",
            text('object_key COLLATE "C"'),
            postgresql_where=text("status = 'processing'"),
        ),
    )


class ErasureRow(Base):
    """An account that was erased within the last day."""

    __tablename__ = "erasures"

    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    erased_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), index=True
    )


IDEMPOTENCY_KEYS = idempotency_table(Base.metadata, "api")
