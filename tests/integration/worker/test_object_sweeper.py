"""objects.sweep: orphans are deleted, images repaired, and foreign buckets left unchanged."""

from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import pytest
from tests.integration.worker.test_erasure import account_with, enqueue, keys_of, stored

from twelvefold.identifiers import new_id
from twelvefold.jobs.retention import EmptyPayload, fetch_suite_id
from worker.job_kinds import OBJECTS_SWEEP
from worker.service.object_sweeper import (
    SUITE_ID_KEY,
    BucketOwnerMismatch,
    ObjectSweeper,
    TooManyMissingObjects,
)


class IdleJob:
    """A job whose lease is never lost."""

    id = new_id()
    created_at = datetime.now(UTC)

    def require_lease(self) -> None:
        return None

    async def set_progress(self, percent: int) -> None:
        return None


@pytest.fixture
async def sweep(bench, owners, store):
    """Sweeps at once. Empties the bucket after the test."""
    own_id = partial(fetch_suite_id, bench.database)

    async def now(age=timedelta(), suite_id=own_id, **limits):
        sweeper = ObjectSweeper(owners, store, age, suite_id, **limits)
        return await sweeper.sweep(IdleJob(), EmptyPayload())

    yield now
    for key in await keys_of(store, ""):
        await store.delete(key)


async def test_orphans_are_deleted_and_objects_of_rows_are_kept(
    bench, registry, owners, store, sweep
):
    user_id, prefixes = await account_with(owners, store, images=2)
    orphans = [
        await stored(store, f"uploads/{new_id()}"),
        await stored(store, f"variants/avatar/{new_id()}/{new_id()}/128.webp"),
    ]
    job_id = await enqueue(bench, OBJECTS_SWEEP, EmptyPayload())
    async with bench.running(registry):
        await bench.becomes("succeeded", job_id)
    named = {key for keys in owners.images[user_id].values() for key in keys}
    assert named < set(await keys_of(store, *prefixes, SUITE_ID_KEY))
    assert [await store.stat(key) for key in orphans] == [None, None]
    superseded = [key for key in await keys_of(store, *prefixes) if "superseded" in key]
    assert superseded == []


async def test_a_recent_orphan_is_kept(owners, store, sweep):
    orphan = await stored(store, f"uploads/{new_id()}")
    assert (await sweep(timedelta(hours=24)))["deleted"] == 0
    assert await store.stat(orphan) is not None


async def test_images_that_miss_an_object_are_repaired(owners, store, sweep):
    user_id, _ = await account_with(owners, store, images=5)
    without_source, without_variant, *_ = rows = owners.images[user_id]
    await store.delete(rows[without_source][0])
    await store.delete(rows[without_variant][1])
    assert (await sweep(page_size=3))["mended"] == 2
    assert set(owners.repaired) == {without_source, without_variant}


async def test_the_ranges_in_requests_to_owners_cover_every_key(owners, store, sweep):
    await account_with(owners, store, images=3)
    await sweep(page_size=2)
    for prefix in ("uploads/", "variants/image/"):
        ranges = [found for found in owners.ranges if found.prefix == prefix]
        ends = [found.through for found in ranges]
        assert [found.after for found in ranges] == ["", *ends[:-1]]
        assert ends[-1] is None
        assert all(end is not None for end in ends[:-1])


async def test_nothing_is_repaired_if_many_objects_are_missing(owners, store, sweep):
    owners.images[new_id()] = {new_id(): [f"uploads/{new_id()}"] for _ in range(3)}
    with pytest.raises(TooManyMissingObjects, match="S3_BUCKET"):
        await sweep(max_repairs=2)
    assert owners.repaired == []


async def test_a_bucket_of_another_suite_is_not_changed(owners, store, sweep):
    async def another():
        return uuid4()

    await sweep()
    orphan = await stored(store, f"uploads/{new_id()}")
    with pytest.raises(BucketOwnerMismatch, match="another suite"):
        await sweep(suite_id=another)
    assert await store.stat(orphan) is not None
    assert (await sweep())["deleted"] == 1
