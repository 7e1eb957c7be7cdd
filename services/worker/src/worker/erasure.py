"""What the worker removes on somebody's behalf: data of accounts that are gone, entries too old.

Each use case is idempotent: a second run finds less, or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from twelvefold.cache.cache import Cache
from twelvefold.contracts.jobs import AccountErase, CacheEvict
from twelvefold.errors import Conflict, DependencyUnavailable, Rejected
from twelvefold.storage.object_store import ObjectStore
from worker.owners import OwnerClient
from worker.service import JobContext


@dataclass(frozen=True, slots=True)
class AccountEraser:
    """Erases an account at each owner. The account goes first: users alone knows whether it may,
    and from then on it brings in nothing. Objects go before the rows that name them, so that a run
    that breaks off leaves nothing that the next one cannot find.
    """

    owners: OwnerClient
    store: ObjectStore

    async def erase(self, job: JobContext, account: AccountErase) -> dict[str, Any]:
        """Raises Rejected, with everything still there, where no active admin would be left.

        Raises DependencyUnavailable where an owner or S3 is away; then the job is retried.
        """
        try:
            await self.owners.erase_account(job.id, account.user_id)
        except Conflict as last_admin:
            raise Rejected(last_admin.detail) from last_admin
        erased, deleted = 0, list[UUID]()
        while images := await self.owners.images_to_erase(job.id, account.user_id, deleted):
            for image in images:
                job.require_lease()
                for key in image.object_keys:
                    await self.store.delete(key)
                # Also what a superseded job has made.
                await self._delete_below(f"variants/image/{image.id}/")
            deleted = [image.id for image in images]
            erased += len(deleted)
        job.require_lease()
        await self._delete_below(f"variants/avatar/{account.user_id}/")
        return {"images": erased}

    async def _delete_below(self, prefix: str) -> None:
        async for found in self.store.list(prefix):
            await self.store.delete(found.key)


@dataclass(frozen=True, slots=True)
class CacheEvictor:
    """Forgets entries that their owner could not replace, once the cache answers again."""

    cache: Cache

    async def evict(self, _: JobContext, entry: CacheEvict) -> None:
        """A newer entry may go, too: that costs one miss. Raises DependencyUnavailable."""
        if not await self.cache.delete(entry.key):
            raise DependencyUnavailable("redis")
