"""One connection kept at hand, for the few statements that every job needs.

Taking one from the pool costs a ping of three round trips; a claim or a settlement is one. What
the ping is for, a connection that went bad meanwhile, shows as an error here: the line is opened
anew for the next statement, and its callers repeat theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from sqlalchemy import TextClause

from twelvefold.database.database import Database, Reader


class PinnedConnection:
    """Statements one after the other, each committed by itself."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Lock()
        self._open = AsyncExitStack()
        self._reader: Reader | None = None

    async def rows(self, statement: TextClause, parameters: Mapping[str, Any]) -> list[Any]:
        """Raises as `Database.read` does; whether the statement took effect is then unknown."""
        async with self._turn:
            try:
                if self._reader is None:
                    self._reader = await self._open.enter_async_context(self._database.read())
                return list(await self._reader.execute(statement, parameters))
            except BaseException:
                await self._close()
                raise

    async def aclose(self) -> None:
        """Gives the connection back; the next statement takes another."""
        async with self._turn:
            await self._close()

    async def _close(self) -> None:
        self._reader = None
        await self._open.aclose()
