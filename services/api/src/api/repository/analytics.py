"""Counts by day, over images and over what the view of the jobs shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from sqlalchemy import func, select

from api.models import ImageRow
from twelvefold.database.database import Reader
from twelvefold.jobs.schema import job_status


@dataclass(frozen=True, slots=True)
class DayCounts:
    """What was begun on one day: uploads, and jobs by kind and the state that they are in now."""

    images: int = 0
    jobs: tuple[tuple[str, str, int], ...] = ()


async def counts_by_day(reader: Reader, first: date, last: date) -> dict[date, DayCounts]:
    """Of each day (UTC) that has any. Jobs that were pruned and deleted images do not count."""
    since = datetime.combine(first, time(), UTC)
    # PostgreSQL counts microseconds, as time.max does; the day after the last one need not exist.
    until = datetime.combine(last, time.max, UTC)
    uploaded = func.date(func.timezone("UTC", ImageRow.created_at))
    images = await reader.execute(
        select(uploaded, func.count())
        .where(ImageRow.created_at >= since, ImageRow.created_at <= until)
        .group_by(uploaded)
    )
    seen = job_status.c
    begun = func.date(func.timezone("UTC", seen.created_at))
    jobs = await reader.execute(
        select(begun, seen.kind, seen.status, func.count())
        .where(seen.created_at >= since, seen.created_at <= until)
        .group_by(begun, seen.kind, seen.status)
        .order_by(begun, seen.kind, seen.status)
    )
    found = {day: DayCounts(count) for day, count in images}
    for day, kind, status, count in jobs:
        known = found.get(day, DayCounts())
        found[day] = DayCounts(known.images, (*known.jobs, (kind, status, count)))
    return found
