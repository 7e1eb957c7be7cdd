"""Connections: their URL, their number, and that cancellations lose none."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import text
from tests.integration.database.queries import PID, select

from twelvefold.context import RequestContext, request_context
from twelvefold.errors import DependencyUnavailable, Overloaded


async def test_the_url_of_a_platform_connects_as_it_is(open_database, url) -> None:
    bare = url.replace("postgresql://", "postgres://")
    for mode in ("disable", "allow", "prefer"):
        database = open_database(database_url=f"{bare}?sslmode={mode}")
        assert await select(database, "SELECT current_setting('application_name')") == "tests"


async def test_a_url_that_demands_tls_does_not_connect_without_it(open_database, url) -> None:
    for mode in ("require", "verify-ca", "verify-full"):
        database = open_database(database_url=f"{url}?sslmode={mode}")
        with pytest.raises(DependencyUnavailable):
            await database.ping()


async def test_statements_end_in_time(open_database) -> None:
    database = open_database(database_statement_timeout=0.2)
    began = time.monotonic()
    with pytest.raises(DependencyUnavailable):
        await select(database, "SELECT pg_sleep(5)")
    assert time.monotonic() - began < 1
    assert await select(database, "SELECT 1") == 1


async def test_a_statement_may_take_no_longer_than_its_request_has_left(open_database) -> None:
    database = open_database(database_statement_timeout=5)
    left = "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'"
    with request_context(RequestContext("r", deadline=time.monotonic() + 2)):
        assert 1500 < await select(database, left) <= 2000
    with request_context(RequestContext("r", deadline=time.monotonic() + 60)):
        assert await select(database, left) == 5000
    assert await select(database, left) == 5000, "what the last request had left is forgotten"
    late = RequestContext("r", deadline=time.monotonic() - 1)
    with request_context(late), pytest.raises(DependencyUnavailable):
        await select(database, "SELECT pg_sleep(1)")


async def test_a_connection_in_use_again_costs_one_round_trip(open_database, proxy, url) -> None:
    database = open_database(database_url=proxy.url(url))
    await select(database, "SELECT 1")
    before = proxy.sent
    await select(database, "SELECT 1")
    assert proxy.sent - before == 2, "the check, and the statement that was prepared before"


async def test_behind_a_pooler_no_statement_is_prepared_and_kept(open_database, proxy, url) -> None:
    database = open_database(database_url=proxy.url(url), database_pooled=True)
    for number in range(3):
        assert await select(database, f"SELECT {number}") == number
    assert await select(database, "SELECT count(*) FROM pg_prepared_statements") == 0


async def test_a_full_pool_refuses_fast(database) -> None:
    async with database.read(), database.read():
        began = time.monotonic()
        with pytest.raises(Overloaded):
            await database.ping()
        assert 0.15 < time.monotonic() - began < 1
    await database.ping()


async def test_waiting_readers_take_their_turns(open_database) -> None:
    database = open_database(database_pool_timeout=60)
    results = await asyncio.gather(*(select(database, f"SELECT {n}") for n in range(50)))
    assert results == list(range(50))


async def test_a_stall_of_the_loop_refuses_no_reader_who_waits(open_database) -> None:
    """The longest wait for a connection is shorter than the stall."""
    database = open_database(database_pool_timeout=3)
    async with database.read() as first, database.read():
        waiting = [asyncio.create_task(select(database, "SELECT 1")) for _ in range(5)]
        await first.execute(text("SELECT 1"))
        time.sleep(4)  # noqa: ASYNC251 (the stall itself)
    assert await asyncio.gather(*waiting) == [1] * 5


async def test_a_cancelled_reader_returns_a_clean_connection(open_database, admin) -> None:
    database = open_database(database_pool_size=1)
    for _ in range(5):
        asleep = asyncio.create_task(select(database, "SELECT pg_sleep(60), 'mine'"))
        async with asyncio.timeout(5):
            while not await admin.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE query = 'SELECT pg_sleep(60), ''mine''' AND state = 'active'"
            ):
                await asyncio.sleep(0.01)
        asleep.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asleep
        assert await select(database, "SELECT 'yours'") == "yours"
    assert database.engine.pool.checkedout() == 0
    # The server stops the statement too, on a busy machine with a delay.
    async with asyncio.timeout(20):
        while await admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE query LIKE '%''mine''' AND state = 'active'"
        ):
            await asyncio.sleep(0.01)


async def test_cancellations_at_any_moment_lose_no_connection(open_database) -> None:
    database = open_database(database_pool_timeout=5)

    async def one(number: int) -> None:
        async with database.transaction() as tx:
            assert await tx.scalar(text(f"SELECT {number}")) == number
        assert await select(database, f"SELECT {number}") == number

    cancelled = 0
    for turns in range(0, 120, 4):
        clients = [asyncio.create_task(one(number)) for number in range(4)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in clients[::2]:
            task.cancel()
        results = await asyncio.gather(*clients, return_exceptions=True)
        assert all(
            result is None or isinstance(result, asyncio.CancelledError) for result in results
        )
        cancelled += sum(result is not None for result in results)
    assert cancelled > 10
    assert database.engine.pool.checkedout() == 0
    async with database.read() as one_reader, database.read() as another:
        assert await one_reader.scalar(PID) != await another.scalar(PID)


async def test_parameters_of_the_url_reach_the_server(url, open_database) -> None:
    parameters = "options=-c%20geqo%3Doff&target_session_attrs=primary&connect_timeout=5"
    database = open_database(database_url=f"{url}?{parameters}&sslmode=disable")
    assert await select(database, "SELECT current_setting('geqo')") == "off"
