"""PostgreSQL unavailable, unresponsive, full, or ending connections, and its recovery."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import pytest
from tests.integration.database.queries import COUNT, PID, count, select, unit_of_work

from twelvefold.database.database import Transaction
from twelvefold.errors import DependencyUnavailable


async def test_an_unavailable_postgresql_is_reported_at_once(open_database, proxy, url) -> None:
    database = open_database(database_url=proxy.url(url))
    await database.ping()
    await proxy.refuse()
    began = time.monotonic()
    with pytest.raises(DependencyUnavailable) as caught:
        await unit_of_work(database)
    assert caught.value.name == "postgres"
    with pytest.raises(DependencyUnavailable):
        await database.ping()
    assert time.monotonic() - began < 1

    await proxy.listen()
    await unit_of_work(database)
    assert await count(database) == 1


async def test_an_unresponsive_postgresql_is_reported_after_the_statement_timeout(
    open_database, proxy, url
) -> None:
    database = open_database(database_url=proxy.url(url), database_statement_timeout=0.2)

    async def unanswered(tx: Transaction) -> None:
        proxy.hold()
        await tx.execute(COUNT)

    began = time.monotonic()
    with pytest.raises(DependencyUnavailable):
        await unit_of_work(database, unanswered)
    assert time.monotonic() - began < 4
    proxy.release()
    await database.ping()


async def test_a_full_server_is_unavailable(admin, open_database, url) -> None:
    role = f"few_{uuid4().hex[:8]}"
    await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'few' CONNECTION LIMIT 0")
    address = url.rpartition("@")[2]
    database = open_database(database_url=f"postgresql://{role}:few@{address}")
    with pytest.raises(DependencyUnavailable):
        await database.ping()
    await admin.execute(f"DROP ROLE {role}")


async def test_connections_that_the_server_ended_between_uses_cost_no_error(
    database, admin
) -> None:
    async with database.read() as first, database.read() as second:
        pids = [await first.scalar(PID), await second.scalar(PID)]
    for pid in pids:
        assert await admin.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
    assert await count(database) == 0
    assert await select(database, "SELECT pg_backend_pid()") not in pids


async def test_a_transaction_that_the_server_ended_is_reported_and_the_next_one_works(
    database, admin
) -> None:
    async def ended(tx: Transaction) -> None:
        assert await admin.fetchval("SELECT pg_terminate_backend($1, 5000)", await tx.scalar(PID))
        await tx.execute(COUNT)

    for _ in range(25):
        with pytest.raises(DependencyUnavailable):
            await unit_of_work(database, ended)
    assert database.engine.pool.checkedout() == 0
    assert await count(database) == 0
    await unit_of_work(database)
    assert await count(database) == 1


async def test_a_statement_that_the_server_cancels_is_reported_and_the_next_one_works(
    database, admin
) -> None:
    """A statement that ends in the middle takes another path through the driver."""
    for _ in range(20):
        asleep = asyncio.create_task(select(database, "SELECT pg_sleep(60), 'ended'"))
        async with asyncio.timeout(5):
            while not await admin.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE query LIKE 'SELECT pg_sleep(60), ''ended''' AND state = 'active'"
            ):
                await asyncio.sleep(0.005)
        with pytest.raises(DependencyUnavailable):
            await asleep
        assert await select(database, "SELECT 1") == 1
    assert database.engine.pool.checkedout() == 0
