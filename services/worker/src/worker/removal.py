"""What the worker removes: data of accounts that are gone, entries too old, objects of nobody.

Each use case is idempotent: a second run finds less, or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from twelvefold.cache import Cache
from twelvefold.contracts.jobs import AccountErase, CacheEvict
from twelvefold.errors import DependencyUnavailable
from twelvefold.jobs.housekeeping import NoPayload
from twelvefold.object_store import ObjectStore
from worker.owners import Owners
from worker.service import RunningJob

# Sources, and what was made of images. Of avatars the variants go with the account.
_SWEPT = ("uploads/", "variants/image/")
_ASKED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Erasures:
    """Erases an account at each owner. Objects go before the rows that name them, so that a run
    that breaks off leaves nothing that the next one cannot find.
    """

    owners: Owners
    store: ObjectStore

    async def erase(self, job: RunningJob, account: AccountErase) -> dict[str, Any]:
        """Raises DependencyUnavailable where an owner or S3 is away; then the job is retried."""
        erased, deleted = 0, list[UUID]()
        while images := await self.owners.images_to_erase(job.id, account.user_id, deleted):
            for image in images:
                job.ensure_held()
                for key in image.object_keys:
                    await self.store.delete(key)
                # Also what a superseded job has made.
                await self._delete_below(f"variants/image/{image.id}/")
            deleted = [image.id for image in images]
            erased += len(deleted)
        job.ensure_held()
        await self._delete_below(f"variants/avatar/{account.user_id}/")
        await self.owners.erase_account(job.id, account.user_id)
        return {"images": erased}

    async def _delete_below(self, prefix: str) -> None:
        async for found in self.store.list(prefix):
            await self.store.delete(found.key)


@dataclass(frozen=True, slots=True)
class Evictions:
    """Forgets entries that their owner could not replace, once the cache answers again."""

    cache: Cache

    async def evict(self, _: RunningJob, entry: CacheEvict) -> None:
        """A newer entry may go, too: that costs one miss. Raises DependencyUnavailable."""
        if not await self.cache.delete(entry.key):
            raise DependencyUnavailable("redis")


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Deletes objects older than `age` that belong to no row: what a crash between the object and
    its row has left, what superseded jobs have made, and the sources of avatars, which nobody
    needs once the job has ended. `age` is longer than any upload and any job takes.
    """

    owners: Owners
    store: ObjectStore
    age: timedelta

    async def sweep(self, job: RunningJob, _: NoPayload) -> dict[str, Any]:
        """Raises DependencyUnavailable where the owner or S3 is away; the rest waits for a retry."""
        seen, deleted, batch = 0, 0, list[str]()
        before = datetime.now(UTC) - self.age
        for prefix in _SWEPT:
            async for found in self.store.list(prefix):
                seen += 1
                if found.modified_at is None or found.modified_at >= before:
                    continue
                batch.append(found.key)
                if len(batch) == _ASKED_AT_ONCE:
                    deleted += await self._delete_orphans(job, batch)
                    batch = []
        if batch:
            deleted += await self._delete_orphans(job, batch)
        return {"seen": seen, "deleted": deleted}

    async def _delete_orphans(self, job: RunningJob, keys: list[str]) -> int:
        orphans = await self.owners.orphans(keys)
        job.ensure_held()
        for key in orphans:
            await self.store.delete(key)
        return len(orphans)
