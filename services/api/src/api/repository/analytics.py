"""Counts of images and jobs by day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from sqlalchemy import func, select

from api.models import ImageRow
from twelvefold.database.database import Reader
from twelvefold.jobs.schema import job_status


@dataclass(frozen=True, slots=True)
class DayCounts:
    """Counts of one day: uploads, and created jobs by kind and current status."""

    images: int = 0
    jobs: tuple[tuple[str, str, int], ...] = ()


async def counts_by_day(reader: Reader, first: date, last: date) -> dict[date, DayCounts]:
    """Return the counts of each day (UTC) that has any, without pruned jobs and deleted images."""
    since = datetime.combine(first, time(), UTC)
    # PostgreSQL has the resolution of time.max; there may be no day after the last one.
    until = datetime.combine(last, time.max, UTC)
    uploaded = func.date(func.timezone("UTC", ImageRow.created_at))
    images = await reader.execute(
        select(uploaded, func.count())
        .where(ImageRow.created_at >= since, ImageRow.created_at <= until)
        .group_by(uploaded)
    )
    columns = job_status.c
    created_on = func.date(func.timezone("UTC", columns.created_at))
    jobs = await reader.execute(
        select(created_on, columns.kind, columns.status, func.count())
        .where(columns.created_at >= since, columns.created_at <= until)
        .group_by(created_on, columns.kind, columns.status)
        .order_by(created_on, columns.kind, columns.status)
    )
    by_day = {day: DayCounts(count) for day, count in images}
    for day, kind, status, count in jobs:
        known = by_day.get(day, DayCounts())
        by_day[day] = DayCounts(known.images, (*known.jobs, (kind, status, count)))
    return by_day
