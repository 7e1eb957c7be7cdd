"""The conformance suite of caches, run over each implementation, the fake included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from tests.fakes.cache import InMemoryCache

from twelvefold.cache.cache import Cache, CacheEntry, NullCache, RedisCache
from twelvefold.cache.multiplexed import create_multiplexed_redis
from twelvefold.errors import Unavailable
from twelvefold.settings import Environment, RedisSettings


@pytest.fixture(params=["redis", "memory"])
async def cache(request, redis_url) -> AsyncIterator[Cache]:
    if request.param == "memory":
        yield InMemoryCache()
        return
    settings = RedisSettings(environment=Environment.TESTING, redis_url=redis_url, redis_timeout=5)
    async with create_multiplexed_redis(settings) as client:
        cache = RedisCache(client, timeout=5)
        yield cache
        await cache.aclose()


@pytest.fixture
def key() -> str:
    return f"user:{uuid4()}"


class Loader:
    """A load that the test starts and ends."""

    def __init__(self, result: CacheEntry | Exception) -> None:
        self.result = result
        self.calls = 0
        self.started = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self) -> CacheEntry:
        self.calls += 1
        self.started.set()
        await self.may_end.wait()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


async def gone(cache: Cache, key: str) -> None:
    async with asyncio.timeout(5):
        while await cache.get(key) is not None:
            await asyncio.sleep(0.01)


async def test_what_was_set_is_got(cache, key) -> None:
    assert await cache.set(key, CacheEntry(3, b'{"name": "Ada"}'), ttl=60)
    assert await cache.get(key) == CacheEntry(3, b'{"name": "Ada"}')


async def test_nothing_is_got_where_nothing_was_set(cache, key) -> None:
    assert await cache.get(key) is None


async def test_any_bytes_and_any_version_survive(cache, key) -> None:
    entry = CacheEntry(2**63 - 1, bytes(range(256)) * 300)
    await cache.set(key, entry, ttl=60)
    assert await cache.get(key) == entry


async def test_an_empty_body_is_refused_since_it_would_be_read_as_absence(cache, key) -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        await cache.set(key, CacheEntry(1, b""), ttl=60)


@pytest.mark.parametrize("older", [0, 1, 255, 256, 2**53, 2**62])
async def test_an_older_version_never_replaces_a_newer_one(cache, key, older) -> None:
    assert await cache.set(key, CacheEntry(older + 1, b"new"), ttl=60)
    assert await cache.set(key, CacheEntry(older, b"old"), ttl=60), (
        "a newer one is there: no failure"
    )
    assert await cache.get(key) == CacheEntry(older + 1, b"new")


@pytest.mark.parametrize("older", [0, 1, 255, 256, 2**53, 2**62])
async def test_a_newer_version_replaces_an_older_one(cache, key, older) -> None:
    await cache.set(key, CacheEntry(older, b"old"), ttl=60)
    await cache.set(key, CacheEntry(older + 1, b"new"), ttl=60)
    assert await cache.get(key) == CacheEntry(older + 1, b"new")


async def test_the_newest_of_many_concurrent_writes_stays(cache, key) -> None:
    versions = [*range(40, 0, -2), *range(1, 40, 2)]
    await asyncio.gather(
        *(cache.set(key, CacheEntry(version, b"%d" % version), ttl=60) for version in versions)
    )
    assert await cache.get(key) == CacheEntry(40, b"40")


async def test_the_same_version_begins_a_new_time_to_live(cache, key) -> None:
    sentinel = f"{key}:sentinel"
    await cache.set(key, CacheEntry(1, b"row"), ttl=0.2)
    await cache.set(sentinel, CacheEntry(1, b"outlives the first"), ttl=0.4)
    await cache.set(key, CacheEntry(1, b"row"), ttl=60)
    await gone(cache, sentinel)
    assert await cache.get(key) == CacheEntry(1, b"row")


async def test_an_entry_ends_with_its_time_to_live(cache, key) -> None:
    await cache.set(key, CacheEntry(1, b"row"), ttl=0.05)
    await gone(cache, key)


async def test_a_tombstone_is_an_entry_without_a_body(cache, key) -> None:
    await cache.set(key, CacheEntry(4, None), ttl=60)
    assert await cache.get(key) == CacheEntry(4, None)


async def test_a_slow_loader_of_a_deleted_row_does_not_bring_it_back(cache, key) -> None:
    await cache.set(key, CacheEntry(4, b"row"), ttl=60)
    await cache.set(key, CacheEntry(4, None), ttl=60)
    assert await cache.get(key) == CacheEntry(4, None)
    await cache.set(key, CacheEntry(4, b"row"), ttl=60)
    assert await cache.get(key) == CacheEntry(4, None)
    await cache.set(key, CacheEntry(5, b"another row"), ttl=60)
    assert await cache.get(key) == CacheEntry(5, b"another row")


async def test_a_delete_removes_the_version_too(cache, key) -> None:
    await cache.set(key, CacheEntry(9, b"row"), ttl=60)
    assert await cache.delete(key)
    assert await cache.get(key) is None
    await cache.set(key, CacheEntry(1, b"row"), ttl=60)
    assert await cache.get(key) == CacheEntry(1, b"row")


async def test_a_miss_is_loaded_once_and_then_kept(cache, key) -> None:
    loader = Loader(CacheEntry(1, b"row"))
    loader.may_end.set()
    assert await cache.get_or_load(key, loader, ttl=60) == CacheEntry(1, b"row")
    assert await cache.get_or_load(key, loader, ttl=60) == CacheEntry(1, b"row")
    assert await cache.get(key) == CacheEntry(1, b"row")
    assert loader.calls == 1


async def test_absence_is_kept_as_well_but_for_the_negative_time(cache, key) -> None:
    loader = Loader(CacheEntry(0, None))
    loader.may_end.set()
    assert await cache.get_or_load(key, loader, ttl=60, negative_ttl=0.3) == CacheEntry(0, None)
    assert await cache.get_or_load(key, loader, ttl=60, negative_ttl=0.3) == CacheEntry(0, None)
    assert loader.calls == 1
    await gone(cache, key)


async def test_concurrent_misses_share_one_load(cache, key) -> None:
    loader = Loader(CacheEntry(1, b"row"))
    readers = [asyncio.create_task(cache.get_or_load(key, loader, ttl=60)) for _ in range(50)]
    await loader.started.wait()
    loader.may_end.set()
    assert await asyncio.gather(*readers) == [CacheEntry(1, b"row")] * 50
    assert loader.calls == 1


async def test_a_load_does_not_hold_up_another_key(cache, key) -> None:
    slow, fast = Loader(CacheEntry(1, b"slow")), Loader(CacheEntry(1, b"fast"))
    fast.may_end.set()
    waiting = asyncio.create_task(cache.get_or_load(key, slow, ttl=60))
    await slow.started.wait()
    assert await cache.get_or_load(f"{key}:other", fast, ttl=60) == CacheEntry(1, b"fast")
    slow.may_end.set()
    assert await waiting == CacheEntry(1, b"slow")


async def test_waiting_callers_share_the_error_and_nothing_is_stored(cache, key) -> None:
    loader = Loader(LookupError("the database is away"))
    readers = [asyncio.create_task(cache.get_or_load(key, loader, ttl=60)) for _ in range(5)]
    await loader.started.wait()
    loader.may_end.set()
    results = await asyncio.gather(*readers, return_exceptions=True)
    assert [type(result) for result in results] == [LookupError] * 5
    assert loader.calls == 1

    loader.result = CacheEntry(1, b"row")
    assert await cache.get_or_load(key, loader, ttl=60) == CacheEntry(1, b"row")


async def test_a_cancelled_first_reader_takes_nothing_from_the_others(cache, key) -> None:
    loader = Loader(CacheEntry(1, b"row"))
    first = asyncio.create_task(cache.get_or_load(key, loader, ttl=60))
    await loader.started.wait()
    others = [asyncio.create_task(cache.get_or_load(key, loader, ttl=60)) for _ in range(3)]
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    loader.may_end.set()
    assert await asyncio.gather(*others) == [CacheEntry(1, b"row")] * 3
    assert loader.calls == 1


async def test_a_load_without_waiting_callers_is_stored(cache, key) -> None:
    loader = Loader(CacheEntry(1, b"row"))
    reader = asyncio.create_task(cache.get_or_load(key, loader, ttl=60))
    await loader.started.wait()
    reader.cancel()
    loader.may_end.set()
    async with asyncio.timeout(5):
        while await cache.get(key) != CacheEntry(1, b"row"):
            await asyncio.sleep(0.01)


async def test_a_slow_load_does_not_bring_back_what_was_written_meanwhile(cache, key) -> None:
    loader = Loader(CacheEntry(1, b"old"))
    early = asyncio.create_task(cache.get_or_load(key, loader, ttl=60))
    await loader.started.wait()
    await cache.set(key, CacheEntry(2, b"new"), ttl=60)
    loader.may_end.set()
    assert await early == CacheEntry(1, b"old"), "it asked before the write"
    assert await cache.get(key) == CacheEntry(2, b"new")


async def test_a_read_after_a_write_does_not_join_an_earlier_load(cache, key) -> None:
    before, after = Loader(CacheEntry(1, b"old")), Loader(CacheEntry(2, b"new"))
    after.may_end.set()
    early = asyncio.create_task(cache.get_or_load(key, before, ttl=60))
    await before.started.wait()
    await cache.delete(key)
    assert await cache.get_or_load(key, after, ttl=60) == CacheEntry(2, b"new")
    before.may_end.set()
    assert await early == CacheEntry(1, b"old")
    assert await cache.get(key) == CacheEntry(2, b"new")


async def test_closing_ends_a_load_as_an_error_and_not_as_a_cancelled_caller(cache, key) -> None:
    loader = Loader(CacheEntry(1, b"never"))
    reader = asyncio.create_task(cache.get_or_load(key, loader, ttl=60))
    await loader.started.wait()
    await cache.aclose()
    with pytest.raises(Unavailable):
        await reader


async def test_with_caching_off_every_read_is_a_load(key) -> None:
    cache: Cache = NullCache()
    loader = Loader(CacheEntry(1, b"row"))
    loader.may_end.set()
    assert await cache.set(key, CacheEntry(1, b"row"), ttl=60)
    assert await cache.get(key) is None
    assert await cache.get_or_load(key, loader, ttl=60) == CacheEntry(1, b"row")
    assert await cache.get_or_load(key, loader, ttl=60) == CacheEntry(1, b"row")
    assert loader.calls == 2
    assert await cache.delete(key)
    await cache.ping()
    await cache.aclose()
