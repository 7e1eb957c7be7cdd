"""account.erase and cache.evict: complete after any number of failed runs."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import pytest

from twelvefold.cache.cache import CacheEntry, RedisCache
from twelvefold.contracts.jobs import ACCOUNT_ERASE, CACHE_EVICT, AccountErase, CacheEvict
from twelvefold.errors import DependencyUnavailable
from twelvefold.identifiers import new_id
from worker.service.erasure import AccountEraser, CacheEvictor, ImagesRemain


@dataclass
class RunningJob:
    """A job whose lease never expires."""

    id: UUID = field(default_factory=new_id)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def require_lease(self) -> None: ...

    async def set_progress(self, percent: int) -> None: ...


async def enqueue(bench, kind, payload):
    async with bench.producer.transaction() as transaction:
        return await bench.jobs.enqueue(transaction, kind, payload)


async def stored(store, key: str) -> str:
    async def content():
        yield b"bytes"

    await store.put(key, content(), "image/webp")
    return key


async def keys_of(store, *prefixes: str) -> list[str]:
    return [found.key for prefix in prefixes for found in [f async for f in store.list(prefix)]]


async def account_with(owners, store, images: int):
    """A deleted account with objects of its images, of superseded jobs and of its avatar."""
    user_id = new_id()
    rows = owners.images.setdefault(user_id, {})
    prefixes = [f"variants/avatar/{user_id}/"]
    await stored(store, f"{prefixes[0]}{new_id()}/128.webp")
    for _ in range(images):
        image_id = new_id()
        prefixes += [f"variants/image/{image_id}/", f"uploads/{image_id}"]
        await stored(store, f"variants/image/{image_id}/superseded/128.webp")
        rows[image_id] = [
            await stored(store, f"uploads/{image_id}"),
            await stored(store, f"variants/image/{image_id}/{new_id()}/128.webp"),
        ]
    return user_id, prefixes


async def test_an_erasure_deletes_all_objects_of_the_account_and_no_others(
    bench, registry, owners, store
):
    user_id, prefixes = await account_with(owners, store, images=5)
    other, kept = await account_with(owners, store, images=1)
    job_id = await enqueue(bench, ACCOUNT_ERASE, AccountErase(user_id=user_id))
    async with bench.running(registry):
        await bench.becomes("succeeded", job_id)
    assert await keys_of(store, *prefixes) == []
    assert owners.images[user_id] == {}
    assert owners.erased == {user_id}
    assert (await bench.record(job_id)).result == {"images": 5}
    assert len(await keys_of(store, *kept)) == 4
    assert owners.images[other]


async def test_an_erasure_is_retried_until_every_service_with_the_hook_has_succeeded(
    bench, registry, owners, further, store
):
    user_id, prefixes = await account_with(owners, store, images=1)
    further.failures = 2
    job_id = await enqueue(bench, ACCOUNT_ERASE, AccountErase(user_id=user_id))
    async with bench.running(registry):
        await bench.becomes("succeeded", job_id)
    record = await bench.record(job_id)
    assert record.attempts == 2
    assert further.erased == [user_id]
    assert await keys_of(store, *prefixes) == []


async def test_a_service_that_fails_does_not_keep_the_others_from_erasing(owners, further, store):
    user_id, prefixes = await account_with(owners, store, images=1)
    further.failures = 1
    eraser = AccountEraser(owners, further, store)
    with pytest.raises(DependencyUnavailable, match="billing"):
        await eraser.erase(RunningJob(), AccountErase(user_id=user_id))
    assert owners.erased == {user_id}
    assert await keys_of(store, *prefixes) == []


async def test_without_a_bucket_an_account_with_images_is_not_reported_as_erased(
    owners, further, store
):
    with_images, _ = await account_with(owners, store, images=1)
    without = new_id()
    eraser = AccountEraser(owners, further, None)
    with pytest.raises(ImagesRemain, match="ENABLE_IMAGES"):
        await eraser.erase(RunningJob(), AccountErase(user_id=with_images))
    assert owners.images[with_images], "rows were deleted whose objects remain"
    await eraser.erase(RunningJob(), AccountErase(user_id=without))
    assert further.erased == [with_images, without]


async def test_erasing_the_last_admin_deletes_nothing(bench, registry, owners, store):
    user_id, prefixes = await account_with(owners, store, images=1)
    before = await keys_of(store, *prefixes)
    owners.last_admins.add(user_id)
    job_id = await enqueue(bench, ACCOUNT_ERASE, AccountErase(user_id=user_id))
    async with bench.running(registry):
        await bench.becomes("rejected", job_id)
    assert "active admin must remain" in str((await bench.record(job_id)).error)
    assert await keys_of(store, *prefixes) == before
    assert owners.images[user_id]
    assert owners.erased == set()


async def test_an_erasure_is_retried_until_its_owners_are_available(bench, registry, owners, store):
    user_id, prefixes = await account_with(owners, store, images=1)
    owners.unavailable = True
    job_id = await enqueue(bench, ACCOUNT_ERASE, AccountErase(user_id=user_id))
    async with bench.running(registry):
        await bench.becomes("failed", job_id)
        assert await keys_of(store, *prefixes)
        owners.unavailable = False
        await bench.becomes("succeeded", job_id)
    assert await keys_of(store, *prefixes) == []


async def test_an_eviction_deletes_the_entry(bench, registry, cache):
    key = f"user:{new_id()}"
    await cache.set(key, CacheEntry(3, b"old"), 60)
    job_id = await enqueue(bench, CACHE_EVICT, CacheEvict(key=key, version=4))
    async with bench.running(registry):
        await bench.becomes("succeeded", job_id)
    assert await cache.get(key) is None


async def test_an_eviction_is_retried_until_redis_is_available(bench, registry, redis_client):
    class UnavailableAtFirst(RedisCache):
        calls = 0

        async def delete(self, key: str) -> bool:
            UnavailableAtFirst.calls += 1
            return UnavailableAtFirst.calls > 2 and await super().delete(key)

    cache = UnavailableAtFirst(redis_client, timeout=5)
    registration = registry.get(CACHE_EVICT)
    object.__setattr__(registration, "handler", CacheEvictor(cache).evict)
    job_id = await enqueue(bench, CACHE_EVICT, CacheEvict(key="user:x", version=1))
    async with bench.running(registry):
        await bench.becomes("succeeded", job_id)
    assert (await bench.record(job_id)).attempts == 2
