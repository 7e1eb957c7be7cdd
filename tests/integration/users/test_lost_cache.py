"""A change that the cache could not store becomes a durable job, in the database alone."""

import json
import uuid

import pytest
from tests.integration.users.running_users import API, Caller, client_of, settings_for

from twelvefold.contracts.accounts import user_cache_key
from users.app import create_app


@pytest.fixture
async def without_redis(database):
    settings = settings_for(database, "redis://127.0.0.1:1/0")
    async with create_app(settings).open() as process, client_of(process, API) as client:
        yield Caller(client)


async def evictions(sql, account):
    rows = await sql.fetch(
        "SELECT payload FROM jobs.jobs WHERE kind = 'cache.evict' AND payload->>'key' = $1",
        user_cache_key(uuid.UUID(account.id)),
    )
    return [json.loads(row["payload"])["version"] for row in rows]


async def test_every_change_that_the_cache_missed_is_a_job_with_its_version(without_redis, sql):
    api = without_redis
    account = await api.member()
    assert await evictions(sql, account) == []  # a new account has no older entry anywhere
    headers = {**account.bearer, "If-Match": account.etag}
    path = f"/users/{account.id}"
    changed = await api.http.patch(path, headers=headers, json={"name": "Countess"})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"v2"')
    assert await evictions(sql, account) == [2]
    assert (await api.http.delete(path, headers=account.bearer)).status_code == 204
    # The tombstone stands above the last version of the row.
    assert sorted(await evictions(sql, account)) == [2, 3]


async def test_with_the_cache_there_no_job_is_made(api, sql):
    account = await api.member()
    headers = {**account.bearer, "If-Match": account.etag}
    await api.http.patch(f"/users/{account.id}", headers=headers, json={"name": "Countess"})
    assert await evictions(sql, account) == []
