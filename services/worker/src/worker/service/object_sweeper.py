"""The job kind `objects.sweep`: delete orphaned objects, repair images whose objects are missing.

Three checks protect data: objects younger than any upload or job may take are ignored, a bucket of
another suite is not changed, and if many objects are missing, nothing is repaired, because then
S3_BUCKET is probably wrong.
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
from worker.owners import AVATAR_PREFIX, OwnerClient
from worker.service.job_context import JobContext

_SOURCES, _VARIANTS = "uploads/", "variants/image/"
# The object that contains the id of the suite that owns the bucket.
SUITE_ID_KEY = "suite"


class BucketOwnerMismatch(TwelvefoldError):
    """S3_BUCKET belongs to another suite, as when staging starts with the bucket of production."""


class TooManyMissingObjects(TwelvefoldError):
    """An operator has to check S3_BUCKET: it is wrong, or was restored from an older state."""


@dataclass(slots=True)
class _Page:
    """Objects below a prefix, by key, after the last one of the previous page."""

    prefix: str
    after: str
    objects: list[StoredObject] = field(default_factory=list)
    is_last: bool = False

    @property
    def keys(self) -> list[str]:
        return [stored.key for stored in self.objects]


@dataclass(frozen=True, slots=True)
class ObjectSweeper:
    """Delete orphans older than `age`, and repair images that lack an object for as long.

    Orphans are objects without a row: remains of a crash between the object and its row, variants
    of superseded jobs, and sources of avatars, which are not needed once the job has ended.
    """

    owners: OwnerClient
    store: ObjectStore
    age: timedelta
    suite_id: Callable[[], Awaitable[UUID]]
    page_size: int = 500  # keys in one request to an owner
    max_repairs: int = 100  # images in one sweep

    async def sweep(self, job: JobContext, _: EmptyPayload) -> dict[str, Any]:
        """Sweep the bucket; return the counts of seen, deleted and repaired (`mended`) objects.

        Raises DependencyUnavailable where an owner or S3 is unavailable, BucketOwnerMismatch, and
        TooManyMissingObjects where more than `max_repairs` images miss objects.
        """
        await self._require_own_bucket()
        seen, deleted, missing = 0, 0, set[UUID]()
        before = datetime.now(UTC) - self.age
        for prefix in (_SOURCES, _VARIANTS, AVATAR_PREFIX):
            async for page in self._pages(prefix):
                seen += len(page.objects)
                if prefix != AVATAR_PREFIX:
                    missing.update(await self._find_missing(page, before))
                if len(missing) > self.max_repairs:
                    raise TooManyMissingObjects(
                        f"more than {self.max_repairs} images miss objects: "
                        "is S3_BUCKET the right one?"
                    )
                deleted += await self._delete_orphans(job, page, before)
        if missing:
            job.require_lease()
            await self.owners.repair(sorted(missing))
        return {"seen": seen, "deleted": deleted, "mended": len(missing)}

    async def _require_own_bucket(self) -> None:
        suite_id = str(await self.suite_id()).encode()
        try:
            async with self.store.open(SUITE_ID_KEY) as chunks:
                owner_id = b"".join([chunk async for chunk in chunks])
        except NotFound:
            await self.store.put(SUITE_ID_KEY, _stream(suite_id), "text/plain")
            return
        if owner_id != suite_id:
            raise BucketOwnerMismatch(
                f"the object {SUITE_ID_KEY!r} names another suite as the bucket's owner: correct "
                "S3_BUCKET, or delete that object if this suite replaces the other one"
            )

    async def _pages(self, prefix: str) -> AsyncIterator[_Page]:
        """Yield at least one page; the last one is marked and has no upper bound."""
        page = _Page(prefix, "")
        async for stored in self.store.list(prefix):
            if len(page.objects) == self.page_size:
                yield page
                page = _Page(prefix, page.objects[-1].key)
            page.objects.append(stored)
        page.is_last = True
        yield page

    async def _find_missing(self, page: _Page, before: datetime) -> list[UUID]:
        through = None if page.is_last else page.keys[-1]
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
            stored.key
            for stored in page.objects
            if stored.modified_at is not None and stored.modified_at < before
        ]
        orphans = await self.owners.orphans(old) if old else []
        job.require_lease()
        for key in orphans:
            await self.store.delete(key)
        return len(orphans)


async def _stream(content: bytes) -> AsyncIterator[bytes]:
    yield content
