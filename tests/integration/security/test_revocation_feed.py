"""The revocations in memory of a process: new ones, old ones, and those of a lost connection."""

import asyncio
import uuid

import pytest
from pydantic import SecretStr
from tests.proxy import open_proxy

from twelvefold.cache.multiplexed import create_multiplexed_redis
from twelvefold.observability import metrics
from twelvefold.security.revocation import LIFETIME, REVOCATIONS, RevocationList
from twelvefold.security.revocation_feed import RevocationFeed, RevokedSubjects
from twelvefold.settings import RedisSettings


def settings_at(url):
    return RedisSettings(environment="testing", redis_url=SecretStr(url))


@pytest.fixture
async def redis(redis_url):
    client = create_multiplexed_redis(settings_at(redis_url))
    yield client
    await client.aclose()


@pytest.fixture
async def proxy(redis_url):
    async with open_proxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def feed(redis_url, proxy):
    """The feed of another process, whose connection can be cut."""
    settings = settings_at(proxy.url(redis_url))
    client = create_multiplexed_redis(settings)
    feed = RevocationFeed(client, settings)
    async with feed.running():
        await wait_until(lambda: feed._subscriber._subscribed)
        yield feed
    await client.aclose()


async def wait_until(holds):
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


async def test_a_running_process_receives_each_revocation(redis, feed):
    sid, sub, other = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    assert await RevocationList(redis).revoke(sid, sub)
    await wait_until(lambda: feed.is_revoked(sid) and feed.is_revoked(other, sub))
    assert not feed.is_revoked(other)


async def test_a_restored_account_can_be_revoked_again(redis, feed):
    revocations, sub = RevocationList(redis), uuid.uuid4()
    for _ in range(2):
        await revocations.revoke(sub)
        await wait_until(lambda: feed.is_revoked(sub))
        await revocations.restore(sub)
        await wait_until(lambda: not feed.is_revoked(sub))


async def test_a_process_that_starts_reads_what_was_revoked_before(redis, redis_url):
    before = [uuid.uuid4() for _ in range(2500)]  # three pages
    restored = uuid.uuid4()
    await RevocationList(redis).revoke(*before, restored)
    await RevocationList(redis).restore(restored)
    feed = RevocationFeed(redis, settings_at(redis_url))
    async with feed.running():
        await wait_until(lambda: all(feed.is_revoked(subject) for subject in before))
        assert not feed.is_revoked(restored)


async def test_changes_during_a_lost_connection_are_read_afterwards(redis, feed, proxy):
    revocations, early, late = RevocationList(redis), uuid.uuid4(), uuid.uuid4()
    await revocations.revoke(early)
    await wait_until(lambda: feed.is_revoked(early))
    await proxy.refuse()
    await revocations.revoke(late)
    await revocations.restore(early)
    assert feed.is_revoked(early), "known revocations stay in force without Redis"
    assert not feed.is_revoked(late)
    await proxy.listen()
    await wait_until(lambda: feed.is_revoked(late) and not feed.is_revoked(early))


async def test_a_malformed_subject_is_ignored(redis, feed):
    await redis.execute("ZADD", REVOCATIONS, 2**40, "nonsense")
    try:
        await redis.execute("PUBLISH", REVOCATIONS, "more nonsense")
        subject = uuid.uuid4()
        await RevocationList(redis).revoke(subject)
        await wait_until(lambda: feed.is_revoked(subject))
    finally:
        await redis.execute("ZREM", REVOCATIONS, "nonsense")


async def test_the_sorted_set_keeps_no_subject_beyond_the_lifetime_of_a_token(redis):
    now = int((await redis.execute("TIME"))[0])
    await redis.execute("ZADD", REVOCATIONS, now - 1, str(uuid.uuid4()))
    subject = uuid.uuid4()
    await RevocationList(redis).revoke(subject)
    assert await redis.execute("ZCOUNT", REVOCATIONS, "-inf", now - 1) == 0
    until = float(await redis.execute("ZSCORE", REVOCATIONS, str(subject)))
    assert LIFETIME - 5 <= until - now <= LIFETIME + 5
    assert 0 < await redis.execute("TTL", REVOCATIONS) <= LIFETIME


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def count_dropped():
    return metrics.REGISTRY.get_sample_value("pool_exhausted_total", {"pool": "revocations"})


def test_a_full_memory_drops_the_subject_that_expires_first_and_counts_it():
    clock = Clock()
    subjects = RevokedSubjects(max_subjects=3, clock=clock)
    ids = [uuid.uuid4() for _ in range(4)]
    before = count_dropped()
    for number, subject in enumerate(ids):
        clock.now = float(number)
        subjects.add(subject)
    assert [subject in subjects for subject in ids] == [False, True, True, True]
    assert count_dropped() == before + 1


def test_an_expired_subject_frees_its_place():
    clock = Clock()
    subjects = RevokedSubjects(max_subjects=2, clock=clock)
    old, new = uuid.uuid4(), uuid.uuid4()
    before = count_dropped()
    subjects.add(old, 10)
    assert old in subjects
    clock.now = 10.0
    assert old not in subjects
    subjects.add(new)
    subjects.add(uuid.uuid4())
    assert new in subjects
    assert count_dropped() == before


def test_a_revocation_is_not_shortened_by_an_older_one():
    clock = Clock()
    subjects, subject = RevokedSubjects(clock=clock), uuid.uuid4()
    subjects.add(subject, 600)
    subjects.add(subject, 10)
    clock.now = 599.0
    assert subject in subjects
