"""The read cache's entries of accounts: written after each change, by a job where Redis fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from twelvefold.cache.cache import Cache, CacheEntry
from twelvefold.contracts.accounts import user_cache_key
from twelvefold.contracts.jobs import CACHE_EVICT, CacheEvict
from twelvefold.database.database import Database, Transaction
from twelvefold.jobs import JobQueue
from users.repository.accounts import AccountRecord
from users.service.documents import CACHE_TTL, document, tombstone
from users.service.post_commit import PostCommitTask, PostCommitTasks


@dataclass(frozen=True, slots=True)
class CachedAccounts:
    """Writes entries after commits, or queues a job that evicts the old one once Redis is back."""

    database: Database
    cache: Cache
    jobs: JobQueue
    post_commit_tasks: PostCommitTasks

    async def load(self, account_id: UUID, load: Callable[[], Awaitable[CacheEntry]]) -> CacheEntry:
        """Return what `load` gives, and keep it in the cache.

        The cache is not read: api asks users only where it has missed there. Concurrent calls
        share one load.
        """
        key = user_cache_key(account_id)
        return await self.cache.get_or_load(key, load, CACHE_TTL, after_miss=True)

    def after(
        self,
        transaction: Transaction,
        account: AccountRecord,
        *first: Callable[[], Awaitable[object]],
    ) -> PostCommitTask:
        """Once `transaction` has committed, run `first`, then store the changed account's entry."""
        store = partial(self._store, account.id, document(account))
        return self.post_commit_tasks.after(transaction, *first, store)

    def after_insert(self, transaction: Transaction, account: AccountRecord) -> PostCommitTask:
        """As `after`, for a new account, which has no older entry to evict."""
        entry = document(account)
        return self.post_commit_tasks.after(
            transaction, partial(self.cache.set, user_cache_key(account.id), entry, CACHE_TTL)
        )

    def after_removal(
        self,
        transaction: Transaction,
        deleted: AccountRecord,
        *first: Callable[[], Awaitable[object]],
    ) -> PostCommitTask:
        """As `after`, with a tombstone that a slow loader of the row cannot replace."""
        store = partial(self._store, deleted.id, tombstone(deleted.version))
        return self.post_commit_tasks.after(transaction, *first, store)

    async def _store(self, account_id: UUID, entry: CacheEntry) -> None:
        key = user_cache_key(account_id)
        if await self.cache.set(key, entry, CACHE_TTL):
            return
        async with self.database.transaction() as transaction:
            await self.jobs.enqueue(
                transaction,
                CACHE_EVICT,
                CacheEvict(key=key, version=entry.version),
                unique_key=f"{key}:{entry.version}",
            )
