"""The job kinds `account.erase` and `cache.evict`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from twelvefold.cache.cache import Cache
from twelvefold.contracts.jobs import AccountErase, CacheEvict
from twelvefold.errors import Conflict, DependencyUnavailable, Rejected, TwelvefoldError
from twelvefold.storage.object_store import ObjectStore
from worker.owners import OwnerClient
from worker.service.job_context import JobContext


class ImagesRemain(Exception):
    """The account has images, and this worker has no bucket to delete them from."""


class FurtherServices(Protocol):
    """The services that declare the hook of erasure (`twelvefold.http.account_data`)."""

    async def erase(self, account_id: UUID) -> None:
        """Erase the account in each. Raises DependencyUnavailable where one fails."""
        ...


@dataclass(frozen=True, slots=True)
class AccountEraser:
    """Erase an account at each owner.

    Users deletes the account first: it decides whether that is allowed, and afterwards the account
    can upload nothing. Objects are deleted before the rows that name them, so that the run after
    an interrupted one finds all of them. An owner that fails does not keep the others from it, and
    the job is retried until all have succeeded.
    """

    owners: OwnerClient
    further: FurtherServices
    store: ObjectStore | None  # None: images are disabled

    async def erase(self, job: JobContext, account: AccountErase) -> dict[str, Any]:
        """Erase one account and return the number of deleted images.

        Raises Rejected, before any deletion, where no active admin would remain, and after all were
        asked DependencyUnavailable where an owner or S3 is unavailable, or ImagesRemain.
        """
        try:
            await self.owners.erase_account(job.id, account.user_id)
        except Conflict as error:
            raise Rejected(error.detail) from error
        failure: Exception | None = None
        try:
            await self.further.erase(account.user_id)
        except TwelvefoldError as error:
            failure = error
        erased = await self._erase_images(job, account.user_id)
        if failure is not None:
            raise failure
        return {"images": erased}

    async def _erase_images(self, job: JobContext, account_id: UUID) -> int:
        erased, deleted = 0, list[UUID]()
        while images := await self.owners.images_to_erase(job.id, account_id, deleted):
            if self.store is None:
                raise ImagesRemain(
                    "the account has images: set ENABLE_IMAGES=true until it is erased"
                )
            for image in images:
                job.require_lease()
                for key in image.object_keys:
                    await self.store.delete(key)
                # Includes the variants of superseded jobs.
                await _delete_below(self.store, f"variants/image/{image.id}/")
            deleted = [image.id for image in images]
            erased += len(deleted)
        job.require_lease()
        if self.store is not None:
            await _delete_below(self.store, f"variants/avatar/{account_id}/")
        return erased


async def _delete_below(store: ObjectStore, prefix: str) -> None:
    async for stored in store.list(prefix):
        await store.delete(stored.key)


@dataclass(frozen=True, slots=True)
class CacheEvictor:
    """Delete cache entries that their owner could not replace while Redis was unavailable."""

    cache: Cache

    async def evict(self, _: JobContext, entry: CacheEvict) -> None:
        """Delete one entry; a newer one costs a miss. Raises DependencyUnavailable."""
        if not await self.cache.delete(entry.key):
            raise DependencyUnavailable("redis")
