"""A cache in a dictionary. tests/integration/cache/test_cache.py holds it to its contract."""

from __future__ import annotations

import time

from twelvefold.cache.cache import CacheEntry, Load, encode_entry, jittered_milliseconds
from twelvefold.cache.single_flight import SingleFlight


class InMemoryCache:
    """Keeps entries in this process; time passes by the monotonic clock."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[CacheEntry, float]] = {}
        self._loads = SingleFlight[CacheEntry]()

    async def get(self, key: str) -> CacheEntry | None:
        entry, expires = self._entries.get(key, (None, 0.0))
        return entry if time.monotonic() < expires else None

    async def set(self, key: str, entry: CacheEntry, ttl: float) -> bool:
        self._loads.forget(key)
        return await self._store(key, entry, ttl)

    async def _store(self, key: str, entry: CacheEntry, ttl: float) -> bool:
        encode_entry(entry)  # refuses what Redis could not hold
        held = await self.get(key)
        if held is not None:
            resurrects = held.body is None and entry.body is not None
            if held.version > entry.version or (held.version == entry.version and resurrects):
                return True
        self._entries[key] = (entry, time.monotonic() + jittered_milliseconds(ttl) / 1000)
        return True

    async def delete(self, key: str) -> bool:
        self._loads.forget(key)
        self._entries.pop(key, None)
        return True

    async def get_or_load(
        self,
        key: str,
        load: Load,
        ttl: float,
        negative_ttl: float = 30.0,
        *,
        after_miss: bool = False,
    ) -> CacheEntry:
        async def get() -> CacheEntry | None:
            return None if after_miss else await self.get(key)

        async def load_and_keep() -> CacheEntry:
            entry = await load()
            await self._store(key, entry, negative_ttl if entry.body is None else ttl)
            return entry

        return await self._loads.get_or_load(key, get, load_and_keep)

    async def ping(self) -> None:
        return None

    async def aclose(self) -> None:
        await self._loads.aclose()
