"""Marks of revoked sessions and accounts in Redis, and the results without Redis."""

import uuid

import pytest
from pydantic import SecretStr

from twelvefold.cache.multiplexed import create_multiplexed_redis
from twelvefold.security.revocation import RevocationList, revocation_key
from twelvefold.security.tokens import LEEWAY, TOKEN_TTL
from twelvefold.settings import RedisSettings


def create_client(url):
    return create_multiplexed_redis(RedisSettings(environment="testing", redis_url=SecretStr(url)))


@pytest.fixture
async def redis(redis_url):
    client = create_client(redis_url)
    yield client
    await client.aclose()


async def test_a_mark_outlives_every_token_of_its_session(redis):
    revocations, sid, sub = RevocationList(redis), uuid.uuid4(), uuid.uuid4()
    assert not await revocations.is_revoked(sid, sub)
    assert await revocations.revoke(sid)
    assert await revocations.is_revoked(sid, sub)
    assert await redis.execute("TTL", revocation_key(sid)) >= TOKEN_TTL + LEEWAY


async def test_several_subjects_are_marked_at_once_and_an_account_can_be_restored(redis):
    revocations, ids = RevocationList(redis), [uuid.uuid4() for _ in range(5)]
    assert await revocations.revoke(*ids)
    assert await redis.execute("EXISTS", *map(revocation_key, ids)) == 5
    assert await revocations.restore(ids[0])
    assert not await revocations.is_revoked(ids[0])
    assert await revocations.revoke()


async def test_without_redis_each_call_returns_false():
    client = create_client("redis://127.0.0.1:1/0")
    revocations = RevocationList(client)
    assert not await revocations.revoke(uuid.uuid4())
    assert not await revocations.restore(uuid.uuid4())
    assert not await revocations.is_revoked(uuid.uuid4())
    await client.aclose()
