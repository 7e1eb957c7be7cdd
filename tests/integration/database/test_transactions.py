"""Transactions: commit, rollback and the callbacks after a commit."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from tests.integration.database.queries import INSERT, count, select, unit_of_work

from twelvefold.database.database import Transaction


async def failing(_: Transaction) -> None:
    raise LookupError("the service changed its mind")


async def test_what_was_written_is_there_after_the_commit(database) -> None:
    async with database.transaction() as tx:
        await tx.execute(INSERT, {"id": 1, "body": "row"})
        assert await count(database) == 0, "other connections do not see it before"
    assert await count(database) == 1


async def test_an_error_undoes_everything(database) -> None:
    with pytest.raises(LookupError):
        await unit_of_work(database, failing)
    assert await count(database) == 0


async def test_a_cancellation_undoes_everything(database) -> None:
    begun = asyncio.Event()

    async def waiting(_: Transaction) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(unit_of_work(database, waiting))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await count(database) == 0


async def test_what_follows_the_commit_sees_what_was_committed(database) -> None:
    seen: list[asyncio.Task[int]] = []

    async def following(tx: Transaction) -> None:
        tx.after_commit(lambda: seen.append(asyncio.create_task(count(database))))
        assert seen == []

    await unit_of_work(database, following)
    assert await asyncio.gather(*seen) == [1]


async def test_nothing_follows_what_was_undone(database) -> None:
    followed: list[str] = []

    async def following(tx: Transaction) -> None:
        tx.after_commit(lambda: followed.append("rang"))
        raise LookupError

    with pytest.raises(LookupError):
        await unit_of_work(database, following)
    assert followed == []


async def test_nothing_follows_a_commit_that_fails(database) -> None:
    await unit_of_work(database)
    followed: list[str] = []

    async def following(tx: Transaction) -> None:
        tx.after_commit(lambda: followed.append("rang"))

    with pytest.raises(IntegrityError):  # the key is checked at the commit
        await unit_of_work(database, following)
    assert followed == []
    assert await count(database) == 1


async def test_a_failing_callback_neither_undoes_the_commit_nor_stops_the_others(database) -> None:
    followed: list[str] = []

    def breaking() -> None:
        raise LookupError

    async def following(tx: Transaction) -> None:
        tx.after_commit(lambda: followed.append("first"))
        tx.after_commit(breaking)
        tx.after_commit(lambda: followed.append("third"))

    await unit_of_work(database, following)
    assert followed == ["first", "third"]
    assert await count(database) == 1


async def test_callbacks_run_although_the_caller_is_cancelled_after_the_commit(
    database, monkeypatch
) -> None:
    handing_back = asyncio.Event()
    original = AsyncConnection.close

    async def slow(self: AsyncConnection) -> None:
        handing_back.set()
        await asyncio.sleep(0)
        await original(self)

    monkeypatch.setattr(AsyncConnection, "close", slow)
    followed: list[str] = []

    async def following(tx: Transaction) -> None:
        tx.after_commit(lambda: followed.append("rang"))

    task = asyncio.create_task(unit_of_work(database, following))
    await handing_back.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert followed == ["rang"]


async def test_a_savepoint_undoes_only_itself_and_its_callbacks(database) -> None:
    followed: list[str] = []

    async def half(tx: Transaction) -> None:
        tx.after_commit(lambda: followed.append("outer"))
        with pytest.raises(LookupError):
            await inner(tx)

    async def inner(tx: Transaction) -> None:
        async with tx.savepoint():
            await tx.execute(INSERT, {"id": 2, "body": "row"})
            tx.after_commit(lambda: followed.append("inner"))
            raise LookupError

    await unit_of_work(database, half)
    assert followed == ["outer"]
    assert await count(database) == 1


async def test_a_refused_statement_is_an_error_and_not_an_outage(database) -> None:
    with pytest.raises(DBAPIError) as caught:
        await select(database, "SELECT 1 / 0")
    assert caught.value.orig
    assert await select(database, "SELECT 1") == 1
