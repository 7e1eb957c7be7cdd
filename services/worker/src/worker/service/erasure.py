"""The job kinds `account.erase` and `cache.evict`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from twelvefold.cache.cache import Cache
from twelvefold.contracts.jobs import AccountErase, CacheEvict
from twelvefold.errors import Conflict, DependencyUnavailable, Rejected
from twelvefold.storage.object_store import ObjectStore
from worker.owners import OwnerClient
from worker.service.job_context import JobContext


@dataclass(frozen=True, slots=True)
class AccountEraser:
    """Erase an account at each owner.

    Users deletes the account first: it decides whether that is allowed, and afterwards the account
    can upload nothing. Objects are deleted before the rows that name them, so that the run after
    an interrupted one finds all of them.
    """

    owners: OwnerClient
    store: ObjectStore

    async def erase(self, job: JobContext, account: AccountErase) -> dict[str, Any]:
        """Erase one account and return the number of deleted images.

        Raises Rejected, before any deletion, where no active admin would remain, and
        DependencyUnavailable where an owner or S3 is unavailable.
        """
        try:
            await self.owners.erase_account(job.id, account.user_id)
        except Conflict as error:
            raise Rejected(error.detail) from error
        erased, deleted = 0, list[UUID]()
        while images := await self.owners.images_to_erase(job.id, account.user_id, deleted):
            for image in images:
                job.require_lease()
                for key in image.object_keys:
                    await self.store.delete(key)
                # Includes the variants of superseded jobs.
                await self._delete_below(f"variants/image/{image.id}/")
            deleted = [image.id for image in images]
            erased += len(deleted)
        job.require_lease()
        await self._delete_below(f"variants/avatar/{account.user_id}/")
        return {"images": erased}

    async def _delete_below(self, prefix: str) -> None:
        async for stored in self.store.list(prefix):
            await self.store.delete(stored.key)


@dataclass(frozen=True, slots=True)
class CacheEvictor:
    """Delete cache entries that their owner could not replace while Redis was unavailable."""

    cache: Cache

    async def evict(self, _: JobContext, entry: CacheEvict) -> None:
        """Delete one entry; a newer one costs a miss. Raises DependencyUnavailable."""
        if not await self.cache.delete(entry.key):
            raise DependencyUnavailable("redis")
