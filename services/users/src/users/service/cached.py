"""What the read cache holds of accounts after a change, whether or not it could be told at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from twelvefold.cache import Cache, Entry
from twelvefold.contracts.jobs import CACHE_EVICT, CacheEvict
from twelvefold.database import Database, Transaction
from twelvefold.jobs import JobQueue
from users.repository.accounts import AccountRecord
from users.service.documents import CACHE_TTL, absent, cache_key, document
from users.service.follow_ups import FollowUp, FollowUps


@dataclass(frozen=True, slots=True)
class CachedAccounts:
    """Writes entries after commits; a durable job does it later where the cache is away."""

    database: Database
    cache: Cache
    jobs: JobQueue
    follow_ups: FollowUps

    async def get(self, account_id: UUID, load: Callable[[], Awaitable[Entry]]) -> Entry:
        return await self.cache.get_or_load(cache_key(account_id), load, CACHE_TTL)

    def after(
        self, unit: Transaction, account: AccountRecord, *first: Callable[[], Awaitable[object]]
    ) -> FollowUp:
        """Once `unit` has committed: `first`, and then the entry of the changed account."""
        store = partial(self._store, account.id, document(account))
        return self.follow_ups.after(unit, *first, store)

    def after_insert(self, unit: Transaction, account: AccountRecord) -> FollowUp:
        """As `after` for a new account: no older entry of it can be anywhere."""
        entry = document(account)
        return self.follow_ups.after(
            unit, partial(self.cache.set, cache_key(account.id), entry, CACHE_TTL)
        )

    def after_removal(
        self, unit: Transaction, gone: AccountRecord, *first: Callable[[], Awaitable[object]]
    ) -> FollowUp:
        """As `after`, with a tombstone that no late loader of the row can replace."""
        store = partial(self._store, gone.id, absent(gone.version))
        return self.follow_ups.after(unit, *first, store)

    async def _store(self, account_id: UUID, entry: Entry) -> None:
        key = cache_key(account_id)
        if await self.cache.set(key, entry, CACHE_TTL):
            return
        async with self.database.transaction() as unit:
            await self.jobs.enqueue(
                unit,
                CACHE_EVICT,
                CacheEvict(key=key, version=entry.version),
                unique_key=f"{key}:{entry.version}",
            )
