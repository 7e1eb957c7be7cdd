"""Prepared reads: one statement per connection, the same errors, and no connection that is lost."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import Integer, String, bindparam, column, func, literal, select, table
from tests.integration.database.queries import INSERT

from twelvefold.context import RequestContext, request_context
from twelvefold.database import client
from twelvefold.database.database import Database
from twelvefold.database.prepared import PreparedStatement
from twelvefold.errors import DependencyUnavailable, Overloaded

NUMBER = PreparedStatement(select(bindparam("number", type_=Integer).label("number")))
PID = PreparedStatement(select(func.pg_backend_pid().label("pid")))
SLEEP = PreparedStatement(
    select(func.pg_sleep(bindparam("seconds")), literal("prepared-sleep").label("mark"))
)
NOTES = PreparedStatement(
    select(column("id"), column("body"))
    .select_from(table("notes"))
    .where(column("id", Integer) >= bindparam("first"))
    .order_by(column("id"))
)


async def number(database: Database, value: int) -> int:
    async with database.read_prepared() as reader:
        row = await reader.fetch_row(NUMBER, number=value)
    assert row is not None
    found: int = row["number"]
    return found


async def test_rows_are_read_by_name_and_parameters_are_bound_by_name(database, url) -> None:
    async with database.transaction() as transaction:
        for key in (1, 2, 3):
            await transaction.execute(INSERT, {"id": key, "body": f"'; DROP TABLE notes; {key}"})
    async with database.read_prepared() as reader:
        rows = await reader.fetch(NOTES, first=2)
        absent = await reader.fetch_row(NOTES, first=9)
        with pytest.raises(KeyError):
            await reader.fetch(NOTES)
    assert [dict(row) for row in rows] == [
        {"id": 2, "body": "'; DROP TABLE notes; 2"},
        {"id": 3, "body": "'; DROP TABLE notes; 3"},
    ]
    assert absent is None
    assert database.engine.pool.checkedout() == 0


async def test_a_repeated_read_costs_one_round_trip_and_later_a_check(
    open_database, proxy, url, monkeypatch
) -> None:
    database = open_database(database_url=proxy.url(url))
    monkeypatch.setattr(client, "CHECK_INTERVAL", 60)
    await number(database, 1)
    before = proxy.sent
    assert await number(database, 2) == 2
    assert proxy.sent - before == 1
    monkeypatch.setattr(client, "CHECK_INTERVAL", 0)
    assert await number(database, 3) == 3
    assert proxy.sent - before == 3


async def test_a_read_ends_within_its_own_request_whatever_the_last_one_had_left(
    open_database,
) -> None:
    database = open_database(database_statement_timeout=5)
    limit = PreparedStatement(
        select(column("setting"))
        .select_from(table("pg_settings"))
        .where(column("name", String) == "statement_timeout")
    )

    async def timeout(left: float) -> int:
        context = RequestContext("r", deadline=time.monotonic() + left)
        with request_context(context):
            async with database.read_prepared() as reader:
                row = await reader.fetch_row(limit)
        assert row is not None
        return int(row["setting"])

    for left in (60, 4, 2, 1, 3.9, 60):
        assert min(left, 5) * 400 < await timeout(left) <= min(left, 5) * 1000


async def test_behind_a_pooler_no_statement_stays_prepared(open_database, proxy, url) -> None:
    database = open_database(database_url=proxy.url(url), database_pooled=True)
    kept = PreparedStatement(select(func.count()).select_from(table("pg_prepared_statements")))
    for value in range(3):
        assert await number(database, value) == value
    async with database.read_prepared() as reader:
        assert await reader.fetch_row(kept) == (0,)


async def test_a_statement_ends_in_time_and_the_next_one_works(open_database) -> None:
    database = open_database(database_statement_timeout=0.2)
    began = time.monotonic()
    with pytest.raises(DependencyUnavailable):
        async with database.read_prepared() as reader:
            await reader.fetch(SLEEP, seconds=5)
    assert time.monotonic() - began < 1
    assert await number(database, 1) == 1


async def test_an_unresponsive_or_unavailable_postgresql_is_reported(
    open_database, proxy, url
) -> None:
    database = open_database(database_url=proxy.url(url), database_statement_timeout=0.2)
    await number(database, 1)

    async def unanswered() -> None:
        async with database.read_prepared() as reader:
            proxy.hold()
            await reader.fetch(NUMBER, number=1)

    with pytest.raises(DependencyUnavailable):
        await unanswered()
    proxy.release()
    assert await number(database, 2) == 2
    await proxy.refuse()
    with pytest.raises(DependencyUnavailable):
        await number(database, 3)
    await proxy.listen()
    assert await number(database, 4) == 4
    assert database.engine.pool.checkedout() == 0


async def test_a_full_pool_refuses(database) -> None:
    async with database.read_prepared(), database.read_prepared():
        with pytest.raises(Overloaded):
            await number(database, 1)
    assert await number(database, 1) == 1


async def test_an_error_of_the_caller_keeps_the_connection(open_database) -> None:
    database = open_database(database_pool_size=1)

    async def pid() -> Any:
        async with database.read_prepared() as reader:
            return await reader.fetch_row(PID)

    before = await pid()
    with pytest.raises(ZeroDivisionError):
        async with database.read_prepared():
            raise ZeroDivisionError
    assert await pid() == before


async def test_connections_that_the_server_ended_cost_one_error_at_most(database, admin) -> None:
    async def ended() -> None:
        async with database.read_prepared() as reader:
            row = await reader.fetch_row(PID)
            assert row is not None
            assert await admin.fetchval("SELECT pg_terminate_backend($1, 5000)", row["pid"])
            await reader.fetch_row(PID)

    for _ in range(5):
        with pytest.raises(DependencyUnavailable):
            await ended()
        assert await number(database, 1) == 1
    assert database.engine.pool.checkedout() == 0


async def test_a_cancelled_reader_returns_no_dirty_connection(open_database, admin) -> None:
    database = open_database(database_pool_size=1)

    async def sleep() -> None:
        async with database.read_prepared() as reader:
            await reader.fetch(SLEEP, seconds=60)

    for value in range(5):
        asleep = asyncio.create_task(sleep())
        async with asyncio.timeout(5):
            while not await admin.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE query LIKE '%pg_sleep%' AND datname = $1 AND state = 'active'",
                database.engine.url.database,
            ):
                await asyncio.sleep(0.01)
        asleep.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asleep
        assert await number(database, value) == value
    assert database.engine.pool.checkedout() == 0


async def test_cancellations_at_any_moment_mix_up_no_results_and_lose_no_connection(
    open_database,
) -> None:
    database = open_database(database_pool_timeout=5)
    cancelled = 0
    for number_of_turns in range(1000):
        turns = 2 * number_of_turns % 60
        readers = [asyncio.create_task(number(database, value)) for value in range(4)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for reader in readers[::2]:
            reader.cancel()
        results = await asyncio.gather(*readers, return_exceptions=True)
        for value, result in enumerate(results):
            assert result == value or isinstance(result, asyncio.CancelledError)
        cancelled += sum(isinstance(result, asyncio.CancelledError) for result in results)
        # The faster the machine, the more responses come first.
        if number_of_turns >= 30 and cancelled > 10:
            break
    assert cancelled > 10
    assert database.engine.pool.checkedout() == 0
    async with database.read_prepared(), database.read_prepared():
        pass
