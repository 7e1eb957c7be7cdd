"""Retried transactions: lost before the commit, once, while the request has time left."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import text
from tests.integration.database.queries import COUNT, INSERT, PID, count

from twelvefold.context import RequestContext, request_context
from twelvefold.database.database import CommitOutcomeUnknown, retry_once
from twelvefold.errors import DependencyUnavailable, TransactionConflict

UPDATE = text("UPDATE notes SET body = body || '.' WHERE id = :id")


class Notes:
    """A transaction whose first attempts fail in the middle, each by the next of `ends`."""

    def __init__(self, database, *ends) -> None:
        self._database = database
        self._ends = list(ends)
        self.tries = 0

    @retry_once
    async def add(self, number: int) -> int:
        self.tries += 1
        async with self._database.transaction() as transaction:
            await transaction.execute(INSERT, {"id": number, "body": "row"})
            if self._ends:
                await self._ends.pop(0)(transaction)
            rows: int = await transaction.scalar(COUNT)
        return rows


@pytest.fixture
def terminate(admin):
    async def end(transaction):
        assert await admin.fetchval(
            "SELECT pg_terminate_backend($1, 5000)", await transaction.scalar(PID)
        )

    return end


async def test_a_transaction_lost_before_its_commit_is_retried(database, terminate) -> None:
    notes = Notes(database, terminate)
    assert await notes.add(1) == 1
    assert notes.tries == 2


async def test_it_is_retried_once(database, terminate) -> None:
    notes = Notes(database, terminate, terminate, terminate)
    with pytest.raises(DependencyUnavailable):
        await notes.add(1)
    assert notes.tries == 2
    assert await count(database) == 0


async def test_a_request_without_time_left_is_not_tried_again(database, terminate) -> None:
    notes = Notes(database, terminate)
    with (
        request_context(RequestContext("r", deadline=time.monotonic() + 0.5)),
        pytest.raises(DependencyUnavailable),
    ):
        await notes.add(1)
    assert notes.tries == 1


async def test_a_refusal_is_not_tried_again(database) -> None:
    async def refuse(transaction):
        raise LookupError

    notes = Notes(database, refuse)
    with pytest.raises(LookupError):
        await notes.add(1)
    assert notes.tries == 1


async def test_what_was_lost_in_its_commit_is_not_done_again(open_database, proxy, url) -> None:
    database = open_database(database_url=proxy.url(url), database_statement_timeout=0.3)

    notes = Notes(database)
    proxy.hold_at = b"COMMIT"
    with pytest.raises(CommitOutcomeUnknown):
        await notes.add(1)
    assert notes.tries == 1
    proxy.hold_at = None
    proxy.release()
    assert await count(database) == 1, "it had taken effect: done again it would have failed"


async def test_of_two_that_wait_for_each_other_both_come_through(database, open_database) -> None:
    """PostgreSQL rolls back one of them after a second, and that one is retried."""
    other = open_database()
    async with database.transaction() as transaction:
        for number in (1, 2):
            await transaction.execute(INSERT, {"id": number, "body": "row"})
    both = asyncio.Barrier(2)
    tries: list[int] = []

    @retry_once
    async def lock(which, first: int, second: int) -> None:
        tries.append(first)
        async with which.transaction() as transaction:
            await transaction.execute(UPDATE, {"id": first})
            if len(tries) <= 2:
                await both.wait()
            await transaction.execute(UPDATE, {"id": second})

    await asyncio.gather(lock(database, 1, 2), lock(other, 2, 1))
    assert len(tries) == 3
    async with database.read() as reader:
        bodies = await reader.execute(text("SELECT body FROM notes"))
        assert [body for (body,) in bodies] == ["row..", "row.."]


async def test_the_victim_of_a_deadlock_is_told_apart_from_an_outage(
    database, open_database
) -> None:
    async with database.transaction() as transaction:
        for number in (1, 2):
            await transaction.execute(INSERT, {"id": number, "body": "row"})
    both = asyncio.Barrier(2)

    async def lock(which, first: int, second: int) -> None:
        async with which.transaction() as transaction:
            await transaction.execute(UPDATE, {"id": first})
            await both.wait()
            await transaction.execute(UPDATE, {"id": second})

    results = await asyncio.gather(
        lock(database, 1, 2), lock(open_database(), 2, 1), return_exceptions=True
    )
    assert [type(result) for result in results if result is not None] == [TransactionConflict]
