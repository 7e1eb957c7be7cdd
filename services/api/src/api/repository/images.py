"""Statements on images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Row,
    and_,
    bindparam,
    collate,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from api.models import ImageRow
from twelvefold.contracts.images import ImageStatus, Variant, VariantReport
from twelvefold.database import prepared
from twelvefold.database.database import Reader, Transaction
from twelvefold.database.prepared import PreparedReader, PreparedStatement
from twelvefold.observability.spans import trace_database_operation

Position = tuple[datetime, UUID]  # last row of a page: (created_at, id)


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image whose bytes are stored and whose row is not."""

    id: UUID
    owner_id: UUID
    object_key: str
    content_type: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Image:
    """One row of `images`."""

    id: UUID
    owner_id: UUID
    status: ImageStatus
    reason: str | None
    object_key: str
    content_type: str
    size: int
    sha256: str
    variants: tuple[Variant, ...]
    job_id: UUID | None
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def position(self) -> Position:
        return self.created_at, self.id

    @property
    def object_keys(self) -> tuple[str, ...]:
        """The keys of every object of the image."""
        return (self.object_key, *(variant.object_key for variant in self.variants))


_COLUMNS = (
    ImageRow.id,
    ImageRow.owner_id,
    ImageRow.status,
    ImageRow.reason,
    ImageRow.object_key,
    ImageRow.content_type,
    ImageRow.size,
    ImageRow.sha256,
    ImageRow.variants,
    ImageRow.job_id,
    ImageRow.version,
    ImageRow.created_at,
    ImageRow.updated_at,
)


_INSERT = PreparedStatement(
    insert(ImageRow)
    .values(
        {name: bindparam(name) for name in (*(field.name for field in fields(NewImage)), "status")}
    )
    .returning(*_COLUMNS)
)
_GET = PreparedStatement(select(*_COLUMNS).where(ImageRow.id == bindparam("image_id")))


def _image(row: Row[*tuple[Any, ...]]) -> Image:
    return _build(row._asdict())


def _from_driver(row: prepared.Row) -> Image:
    return _build(dict(row))


def _build(values: dict[str, Any]) -> Image:
    # The rows were written from validated reports, so they are not validated again.
    values["variants"] = tuple(Variant.model_construct(**entry) for entry in values["variants"])
    values["status"] = ImageStatus(values["status"])
    return Image(**values)


class ImageRepository:
    """Statements on `api.images`."""

    @trace_database_operation("api.images", "insert")
    async def add(self, transaction: Transaction, new: NewImage) -> Image:
        row = await transaction.fetch_row(
            _INSERT, **asdict(new), status=ImageStatus.PROCESSING.value
        )
        if row is None:
            raise RuntimeError("an INSERT returned no row")
        return _from_driver(row)

    @trace_database_operation("api.images", "select")
    async def get(self, reader: Reader, image_id: UUID) -> Image | None:
        row = await reader.fetch_row(_GET, image_id=image_id)
        return None if row is None else _from_driver(row)

    async def of(self, reader: Reader, ids: Sequence[UUID]) -> Sequence[Image]:
        """Return the existing images of `ids`, in no order."""
        rows = await reader.execute(select(*_COLUMNS).where(ImageRow.id.in_(ids)))
        return [_image(row) for row in rows]

    async def list(
        self, reader: Reader, *, owner_id: UUID | None, limit: int, after: Position | None = None
    ) -> Sequence[Image]:
        """Return at most `limit` images, newest first, of one owner or (None) of all."""
        return [_from_driver(row) for row in await _fetch_list(reader, owner_id, limit, after)]

    @trace_database_operation("api.images", "select")
    async def list_rows(
        self,
        reader: PreparedReader,
        *,
        owner_id: UUID | None,
        limit: int,
        after: Position | None = None,
    ) -> Sequence[prepared.Row]:
        """Return rows as `list` would, of _COLUMNS, for lists that many requests make."""
        return await _fetch_list(reader, owner_id, limit, after)

    @trace_database_operation("api.images", "update")
    async def apply(self, transaction: Transaction, image_id: UUID, report: VariantReport) -> bool:
        """Store the result of `report`; return False where a job at least as new has reported."""
        is_rejected = report.rejected is not None
        statement = (
            update(ImageRow)
            .where(ImageRow.id == image_id, _older_than(report))
            .values(
                status=(ImageStatus.REJECTED if is_rejected else ImageStatus.READY).value,
                reason=report.rejected,
                variants=[variant.model_dump(mode="json") for variant in report.variants],
                job_id=report.job_id,
                job_created_at=report.job_created_at,
                version=ImageRow.version + 1,
                updated_at=func.now(),
            )
            .returning(ImageRow.id)
        )
        return (await transaction.execute(statement)).one_or_none() is not None

    @trace_database_operation("api.images", "delete")
    async def delete(
        self, transaction: Transaction, image_id: UUID, expected: Collection[int] | None
    ) -> Image | None:
        """Delete the row and return it; None without a row at one of the `expected` versions."""
        statement = delete(ImageRow).where(ImageRow.id == image_id)
        if expected is not None:
            statement = statement.where(ImageRow.version.in_(expected))
        row = (await transaction.execute(statement.returning(*_COLUMNS))).one_or_none()
        return None if row is None else _image(row)

    async def known_keys(
        self, reader: Reader, keys: Sequence[str], ids: Iterable[UUID]
    ) -> set[str]:
        """Return those of `keys` that are the source of a row, and every key of the rows `ids`."""
        statement = select(*_COLUMNS).where(
            or_(ImageRow.object_key.in_(keys), ImageRow.id.in_(list(ids)))
        )
        return {key for row in await reader.execute(statement) for key in _image(row).object_keys}

    async def unfinished(
        self, reader: Reader, *, beyond: str, through: str | None, before: datetime, limit: int
    ) -> Sequence[Image]:
        """Return images without variants, unchanged since `before`, by key of the source."""
        key = collate(ImageRow.object_key, "C")
        statement = select(*_COLUMNS).where(
            ImageRow.status == ImageStatus.PROCESSING.value,
            key > beyond,
            ImageRow.updated_at < before,
        )
        if through is not None:
            statement = statement.where(key <= through)
        rows = await reader.execute(statement.order_by(key).limit(limit))
        return [_image(row) for row in rows]

    async def finished(
        self, reader: Reader, *, first: UUID, last: UUID | None, before: datetime, limit: int
    ) -> Sequence[Image]:
        """Return images with variants, unchanged since `before`, by id."""
        statement = select(*_COLUMNS).where(
            ImageRow.id >= first,
            ImageRow.status == ImageStatus.READY.value,
            ImageRow.updated_at < before,
        )
        if last is not None:
            statement = statement.where(ImageRow.id <= last)
        rows = await reader.execute(statement.order_by(ImageRow.id).limit(limit))
        return [_image(row) for row in rows]

    async def reject(self, transaction: Transaction, ids: Sequence[UUID], reason: str) -> None:
        """Reject those of `ids` that have no variants yet."""
        await transaction.execute(
            update(ImageRow)
            .where(ImageRow.id.in_(ids), ImageRow.status == ImageStatus.PROCESSING.value)
            .values(
                status=ImageStatus.REJECTED.value,
                reason=reason,
                version=ImageRow.version + 1,
                updated_at=func.now(),
            )
        )

    async def delete_of(
        self, transaction: Transaction, owner_id: UUID, ids: Sequence[UUID]
    ) -> None:
        """Delete those of `ids` that belong to the owner."""
        await transaction.execute(
            delete(ImageRow).where(ImageRow.owner_id == owner_id, ImageRow.id.in_(ids))
        )


async def _fetch_list(
    reader: Reader | PreparedReader, owner_id: UUID | None, limit: int, after: Position | None
) -> Sequence[prepared.Row]:
    values: dict[str, object] = {} if owner_id is None else {"owner_id": owner_id}
    if after is not None:
        values |= {"after_time": after[0], "after_id": after[1]}
    return await reader.fetch(_prepare_list(frozenset(values)), **values, limit=limit)


@cache
def _prepare_list(filters: frozenset[str]) -> PreparedStatement:
    statement = select(*_COLUMNS).order_by(ImageRow.created_at.desc(), ImageRow.id.desc())
    if "owner_id" in filters:
        statement = statement.where(ImageRow.owner_id == bindparam("owner_id"))
    if "after_id" in filters:
        after = tuple_(
            bindparam("after_time", type_=ImageRow.created_at.type),
            bindparam("after_id", type_=ImageRow.id.type),
        )
        statement = statement.where(tuple_(ImageRow.created_at, ImageRow.id) < after)
    return PreparedStatement(statement.limit(bindparam("limit", type_=Integer)))


def _older_than(report: VariantReport) -> ColumnElement[bool]:
    # Jobs of one transaction have the same time: their ids break the tie.
    return or_(
        ImageRow.job_created_at.is_(None),
        ImageRow.job_created_at < report.job_created_at,
        and_(ImageRow.job_created_at == report.job_created_at, ImageRow.job_id < report.job_id),
    )
