"""A revocation that was acknowledged holds, whatever happens to our loop or to Redis afterwards."""

import asyncio
import time
from collections import Counter

from tests.proxy import open_proxy

from twelvefold.security.revocation import RevocationList

ROUNDS, AT_ONCE = 4, 50
STALL = 0.4  # seconds, longer than the timeout of Redis


async def test_a_stalled_loop_accepts_no_revoked_token(open_api, sign_in):
    process = await open_api()
    caller, innocent = await sign_in(process=process), await sign_in(process=process)
    assert (await caller.client.get("/api/v1/jobs")).status_code == 200
    assert await RevocationList(process.backing.multiplexed_redis).revoke(caller.id)
    statuses: Counter[int] = Counter()
    for _ in range(ROUNDS):
        requests = [asyncio.create_task(caller.client.get("/api/v1/jobs")) for _ in range(AT_ONCE)]
        # By turns in the midst of their admissions: parsed, asking Redis, waiting for a connection.
        for _ in range(12):
            await asyncio.sleep(0)
        time.sleep(STALL)  # noqa: ASYNC251  (the stall itself)
        for response in await asyncio.gather(*requests):
            statuses[response.status_code] += 1
            if response.status_code == 503:
                assert int(response.headers["retry-after"]) >= 1
                assert response.headers["content-type"] == "application/problem+json"
    assert set(statuses) <= {401, 503}, statuses
    assert statuses.total() == ROUNDS * AT_ONCE
    assert process.backing.redis_breaker.allow_call(), "Redis was never away"
    assert (await innocent.client.get("/api/v1/jobs")).status_code == 200


async def test_a_revocation_holds_where_redis_is_lost_afterwards(
    open_api, sign_in, api, api_environment
):
    async with open_proxy(api_environment["redis_url"]) as proxy:
        process = await open_api(redis_url=proxy.url(api_environment["redis_url"]))
        early, late = await sign_in(process=process), await sign_in(process=process)
        await RevocationList(api.backing.multiplexed_redis).revoke(early.id)
        feed = process.public.state.container.authenticator._feed
        async with asyncio.timeout(20):
            while not feed.is_revoked(early.id):
                await asyncio.sleep(0.01)
        assert (await early.client.get("/api/v1/jobs")).status_code == 401
        assert (await late.client.get("/api/v1/jobs")).status_code == 200
        await proxy.refuse()
        assert (await early.client.get("/api/v1/jobs")).status_code == 401
        assert (await late.client.get("/api/v1/jobs")).status_code == 200
        await RevocationList(api.backing.multiplexed_redis).revoke(late.id)
        assert (await late.client.get("/api/v1/jobs")).status_code == 200, (
            "design: its last minutes"
        )
        await proxy.listen()
        async with asyncio.timeout(20):
            while (await late.client.get("/api/v1/jobs")).status_code != 401:
                await asyncio.sleep(0.05)
