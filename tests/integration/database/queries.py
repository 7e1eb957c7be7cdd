"""Statements of the tests of transactions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import text

from twelvefold.database.database import Database, Transaction

INSERT = text("INSERT INTO notes (id, body) VALUES (:id, :body)")
COUNT = text("SELECT count(*) FROM notes")
PID = text("SELECT pg_backend_pid()")


async def count(database: Database) -> int:
    async with database.read() as reader:
        rows: int = await reader.scalar(COUNT)
    return rows


async def unit_of_work(
    database: Database, work: Callable[[Transaction], Awaitable[None]] | None = None
) -> None:
    async with database.transaction() as tx:
        await tx.execute(INSERT, {"id": 1, "body": "row"})
        if work is not None:
            await work(tx)


async def select(database: Database, statement: str) -> Any:
    async with database.read() as reader:
        return await reader.scalar(text(statement))
