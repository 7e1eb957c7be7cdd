"""All SQL on schema `api`. Rows go in and out as frozen dataclasses; who may see them is not here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, or_, select, tuple_, update

from twelvefold.contracts.images import ImageStatus, Variant, VariantReport
from twelvefold.database import Reader, Transaction
from twelvefold.jobs.schema import job_status
from twelvefold.spans import trace_database_operation

from .models import IDEMPOTENCY_KEYS, ImageRow

Position = tuple[datetime, UUID]  # where a page ends: (created_at, id)


@dataclass(frozen=True, slots=True)
class NewImage:
    """What is known of an image once its bytes are stored."""

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
        """Every object that belongs to the row."""
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


def _image(row: Row[*tuple[Any, ...]]) -> Image:
    values = row._asdict()
    # Our own rows, written from validated reports: no second validation.
    values["variants"] = tuple(Variant.model_construct(**entry) for entry in row.variants)
    values["status"] = ImageStatus(row.status)
    return Image(**values)


class ImageRepository:
    """Statements on `api.images`."""

    @trace_database_operation("api.images", "insert")
    async def add(self, unit: Transaction, new: NewImage) -> Image:
        statement = (
            insert(ImageRow)
            .values(
                id=new.id,
                owner_id=new.owner_id,
                status=ImageStatus.PROCESSING.value,
                object_key=new.object_key,
                content_type=new.content_type,
                size=new.size,
                sha256=new.sha256,
            )
            .returning(*_COLUMNS)
        )
        return _image((await unit.execute(statement)).one())

    @trace_database_operation("api.images", "select")
    async def get(self, reader: Reader, image_id: UUID) -> Image | None:
        row = (await reader.execute(select(*_COLUMNS).where(ImageRow.id == image_id))).one_or_none()
        return None if row is None else _image(row)

    async def list(
        self, reader: Reader, *, owner_id: UUID | None, limit: int, after: Position | None = None
    ) -> Sequence[Image]:
        """Newest first, at most `limit`, of one owner or (None) of everybody."""
        statement = select(*_COLUMNS).order_by(ImageRow.created_at.desc(), ImageRow.id.desc())
        if owner_id is not None:
            statement = statement.where(ImageRow.owner_id == owner_id)
        if after is not None:
            statement = statement.where(tuple_(ImageRow.created_at, ImageRow.id) < after)
        return [_image(row) for row in await reader.execute(statement.limit(limit))]

    @trace_database_operation("api.images", "update")
    async def apply(self, unit: Transaction, image_id: UUID, report: VariantReport) -> bool:
        """Keeps the result of `report` unless a job at least as new has reported. Says whether."""
        refused = report.rejected is not None
        statement = (
            update(ImageRow)
            .where(ImageRow.id == image_id, _older_than(report))
            .values(
                status=(ImageStatus.REJECTED if refused else ImageStatus.READY).value,
                reason=report.rejected,
                variants=[variant.model_dump(mode="json") for variant in report.variants],
                job_id=report.job_id,
                job_created_at=report.job_created_at,
                version=ImageRow.version + 1,
                updated_at=func.now(),
            )
            .returning(ImageRow.id)
        )
        return (await unit.execute(statement)).one_or_none() is not None

    @trace_database_operation("api.images", "delete")
    async def delete(self, unit: Transaction, image_id: UUID, version: int | None) -> Image | None:
        """The row that was deleted; None where there is none, or not (any more) at `version`."""
        statement = delete(ImageRow).where(ImageRow.id == image_id)
        if version is not None:
            statement = statement.where(ImageRow.version == version)
        row = (await unit.execute(statement.returning(*_COLUMNS))).one_or_none()
        return None if row is None else _image(row)

    async def known_keys(
        self, reader: Reader, keys: Sequence[str], ids: Iterable[UUID]
    ) -> set[str]:
        """Those of `keys` that are a row's source, and every key of the rows `ids`."""
        statement = select(*_COLUMNS).where(
            or_(ImageRow.object_key.in_(keys), ImageRow.id.in_(list(ids)))
        )
        return {key for row in await reader.execute(statement) for key in _image(row).object_keys}

    async def delete_of(self, unit: Transaction, owner_id: UUID, ids: Sequence[UUID]) -> None:
        """Those of `ids` that are this owner's."""
        await unit.execute(
            delete(ImageRow).where(ImageRow.owner_id == owner_id, ImageRow.id.in_(ids))
        )


async def forget_replies(unit: Transaction, account_id: UUID) -> None:
    """Removes what was stored with the account's idempotency keys: answers hold its data."""
    keys = IDEMPOTENCY_KEYS.c
    await unit.execute(delete(IDEMPOTENCY_KEYS).where(keys.caller == str(account_id)))


@dataclass(frozen=True, slots=True)
class DayCounts:
    """What was begun on one day: uploads, and jobs by kind and the state that they are in now."""

    images: int = 0
    jobs: tuple[tuple[str, str, int], ...] = ()


async def counts_by_day(reader: Reader, first: date, last: date) -> dict[date, DayCounts]:
    """Of each day (UTC) that has any. Jobs that were pruned and deleted images do not count."""
    since = datetime.combine(first, time(), UTC)
    until = datetime.combine(last + timedelta(days=1), time(), UTC)
    uploaded = func.date(func.timezone("UTC", ImageRow.created_at))
    images = await reader.execute(
        select(uploaded, func.count())
        .where(ImageRow.created_at >= since, ImageRow.created_at < until)
        .group_by(uploaded)
    )
    seen = job_status.c
    begun = func.date(func.timezone("UTC", seen.created_at))
    jobs = await reader.execute(
        select(begun, seen.kind, seen.status, func.count())
        .where(seen.created_at >= since, seen.created_at < until)
        .group_by(begun, seen.kind, seen.status)
        .order_by(begun, seen.kind, seen.status)
    )
    found = {day: DayCounts(count) for day, count in images}
    for day, kind, status, count in jobs:
        known = found.get(day, DayCounts())
        found[day] = DayCounts(known.images, (*known.jobs, (kind, status, count)))
    return found


def _older_than(report: VariantReport) -> ColumnElement[bool]:
    # Jobs of one transaction have the same time: their ids break the tie, for every replica alike.
    return or_(
        ImageRow.job_created_at.is_(None),
        ImageRow.job_created_at < report.job_created_at,
        and_(ImageRow.job_created_at == report.job_created_at, ImageRow.job_id < report.job_id),
    )
