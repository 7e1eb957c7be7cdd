"""One connection kept open for the few statements that every job needs.

Taking a connection from the pool costs a ping of three round trips; a claim or a settlement is
one. A connection that broke in the meantime shows as an error of the statement: the next statement
opens a new one, and callers repeat theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from sqlalchemy import TextClause

from twelvefold.database.database import Database, Reader


class PinnedConnection:
    """Run one statement after the other, each committed by itself."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._reader: Reader | None = None

    async def fetch_rows(self, statement: TextClause, parameters: Mapping[str, Any]) -> list[Any]:
        """Run a statement and return its rows.

        Raises the errors of `Database.read`; whether the statement took effect is then unknown.
        """
        async with self._lock:
            try:
                if self._reader is None:
                    self._reader = await self._stack.enter_async_context(self._database.read())
                return list(await self._reader.execute(statement, parameters))
            except BaseException:
                await self._close()
                raise

    async def aclose(self) -> None:
        """Return the connection to the pool. The next statement takes another."""
        async with self._lock:
            await self._close()

    async def _close(self) -> None:
        self._reader = None
        await self._stack.aclose()
