"""Keeps rows and objects together: deletes objects of nobody, has rows mended that miss objects.

Idempotent, and careful where a mistake would be dear: what is younger than any upload and any job
takes does not count, a bucket that bears another suite's mark is not touched, and where very much
is missing no row is, because then a bucket is more likely the wrong one than emptied.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from twelvefold.contracts.images import ObjectRange
from twelvefold.errors import NotFound, TwelvefoldError
from twelvefold.jobs.retention import EmptyPayload
from twelvefold.storage.object_store import ObjectStore, StoredObject
from worker.owners import AVATARS, OwnerClient
from worker.service import JobContext

_SOURCES, _VARIANTS = "uploads/", "variants/image/"
_PAGE = 500  # keys that an owner is asked about at once
_MAX_REPAIRS = 100  # images in one sweep
# Names in a bucket whose it is, so that one suite's sweeper never empties another's.
MARK = "suite"


class BucketOwnerMismatch(TwelvefoldError):
    """S3_BUCKET is another suite's, as one of staging that is started on production's would find."""


class TooMuchMissing(TwelvefoldError):
    """Somebody has to look: S3_BUCKET may be wrong, or a bucket was restored from an older state."""


@dataclass(slots=True)
class _Page:
    """Objects below a prefix, in the order of their keys, beyond the last one of the page before."""

    prefix: str
    after: str
    objects: list[StoredObject] = field(default_factory=list)
    last: bool = False

    @property
    def keys(self) -> list[str]:
        return [found.key for found in self.objects]


@dataclass(frozen=True, slots=True)
class ObjectSweeper:
    """Deletes objects older than `age` that belong to no row: what a crash between the object and
    its row has left, what superseded jobs have made, and the sources of avatars, which nobody
    needs once the job has ended. Has images mended that have missed an object for as long.
    """

    owners: OwnerClient
    store: ObjectStore
    age: timedelta
    suite_id: Callable[[], Awaitable[UUID]]

    async def sweep(self, job: JobContext, _: EmptyPayload) -> dict[str, Any]:
        """Raises DependencyUnavailable where an owner or S3 is away, ForeignBucket and
        TooMuchMissing as said.
        """
        await self._require_own_bucket()
        seen, deleted, missing = 0, 0, set[UUID]()
        before = datetime.now(UTC) - self.age
        for prefix in (_SOURCES, _VARIANTS, AVATARS):
            async for page in self._pages(prefix):
                seen += len(page.objects)
                if prefix != AVATARS:
                    missing.update(await self._missing(page, before))
                if len(missing) > _MAX_REPAIRS:
                    raise TooMuchMissing(
                        f"more than {_MAX_REPAIRS} images miss objects: is S3_BUCKET the right one?"
                    )
                deleted += await self._delete_orphans(job, page, before)
        if missing:
            job.require_lease()
            await self.owners.repair(sorted(missing))
        return {"seen": seen, "deleted": deleted, "mended": len(missing)}

    async def _require_own_bucket(self) -> None:
        mine = str(await self.suite_id()).encode()
        try:
            async with self.store.open(MARK) as chunks:
                found = b"".join([chunk async for chunk in chunks])
        except NotFound:
            await self.store.put(MARK, _whole(mine), "text/plain")
            return
        if found != mine:
            raise BucketOwnerMismatch(
                f"the bucket is another suite's: its object {MARK!r} says so. Mend S3_BUCKET; or, "
                "if this suite took the bucket over for good, delete that object"
            )

    async def _pages(self, prefix: str) -> AsyncIterator[_Page]:
        """At least one, the last one marked, so that what is missing at the end is found, too."""
        page = _Page(prefix, "")
        async for found in self.store.list(prefix):
            if len(page.objects) == _PAGE:
                yield page
                page = _Page(prefix, page.objects[-1].key)
            page.objects.append(found)
        page.last = True
        yield page

    async def _missing(self, page: _Page, before: datetime) -> list[UUID]:
        through = None if page.last else page.keys[-1]
        request = ObjectRange(
            prefix=_SOURCES if page.prefix == _SOURCES else _VARIANTS,
            after=page.after,
            through=through,
            keys=page.keys,
            before=before,
        )
        return list(await self.owners.missing(request))

    async def _delete_orphans(self, job: JobContext, page: _Page, before: datetime) -> int:
        old = [
            found.key
            for found in page.objects
            if found.modified_at is not None and found.modified_at < before
        ]
        orphans = await self.owners.orphans(old) if old else []
        job.require_lease()
        for key in orphans:
            await self.store.delete(key)
        return len(orphans)


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content
