"""Jobs as the console shows and changes them, by the worker's own role.

Owns one connection, opened when somebody looks and closed when nobody does, and read-only by
setting. Changes go through the functions that `twelvefold.jobs` calls too (design: job rows);
SQLAlchemy, on which that is built, would double the size of this process.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from twelvefold.jobs.channels import CANCEL_CHANNEL, change_channel
from twelvefold.observability.redaction import redact

if TYPE_CHECKING:
    import asyncpg

MAX_LIMIT = 200
_TIMEOUT = 5.0  # seconds for one statement or connection
_REDIS_TIMEOUT = 1.0
_UNUSED = 60.0  # seconds after which the connection is closed
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-")
_COLUMNS = (
    "id, kind, queue, priority, owner_id, status, progress, attempts, crashes, max_attempts, "
    "cancel_requested, created_at, run_at, started_at, finished_at, error, worker, request_id, "
    "trace_context"
)
_LIST = f"""
SELECT {_COLUMNS} FROM jobs.jobs
WHERE ($1::text IS NULL OR status = $1) AND ($2::text IS NULL OR kind = $2)
  AND ($3::timestamptz IS NULL OR created_at < $3)
ORDER BY created_at DESC, id DESC LIMIT $4
"""  # noqa: S608 (names of ours)
_ONE = f"SELECT {_COLUMNS}, payload, result, errors, claim_no, lease_until FROM jobs.jobs WHERE id = $1"  # noqa: S608
_COUNTS = "SELECT kind, status, count(*) AS jobs FROM jobs.jobs GROUP BY kind, status"
# Rows written so far, as the statistics have it: within about a second, and for nothing.
_WRITTEN = """
SELECT coalesce(n_tup_ins + n_tup_upd + n_tup_del, 0) FROM pg_stat_all_tables
WHERE schemaname = 'jobs' AND relname = 'jobs'
"""
# What the functions refuse answers no row changed; the state is told to whoever asked.
_CHANGES: Mapping[str, str] = {
    "retry": "SELECT status, changed, version FROM jobs.retry_job($1)",
    "cancel": "SELECT status, changed, version FROM jobs.cancel_job($1)",
}


class JobsUnavailable(Exception):
    """PostgreSQL does not answer, or the schema is not there yet."""


class Jobs:
    """`url` is of the worker's role; `redis_url` of where running jobs listen for a cancel."""

    def __init__(self, url: str, redis_url: str) -> None:
        self._url = url
        self._redis_url = redis_url
        self._connection: asyncpg.Connection[Any] | None = None
        self._turn = asyncio.Lock()
        self._used = 0.0

    async def newest(
        self, *, status: str | None, kind: str | None, before: Any, limit: int
    ) -> list[dict[str, Any]]:
        rows = await self._fetch(_LIST, status, kind, before, min(limit, MAX_LIMIT))
        return [_shown(row) for row in rows]

    async def counts(self) -> list[dict[str, Any]]:
        """By kind and state."""
        return [dict(row) for row in await self._fetch(_COUNTS)]

    async def one(self, job_id: UUID) -> dict[str, Any] | None:
        rows = await self._fetch(_ONE, job_id)
        return _shown(rows[0]) if rows else None

    async def written(self) -> int:
        """Changes when any job did."""
        rows = await self._fetch(_WRITTEN)
        return int(rows[0][0]) if rows else 0

    async def change(self, action: str, job_id: UUID) -> dict[str, Any] | None:
        """Retries or cancels. `changed` says whether this call did it; None: no such job."""
        statement = _CHANGES[action]
        async with self._turn:
            try:
                connection = await self._connected()
                async with connection.transaction():
                    await connection.execute("SET TRANSACTION READ WRITE")
                    row = await connection.fetchrow(statement, job_id)
            except _errors() as error:
                raise await self._lost(error) from error
        if row is None:
            return None
        if row["changed"]:
            await self._publish(action, job_id, row["version"])
        return {"status": row["status"], "changed": row["changed"]}

    async def close_if_unused(self) -> None:
        if time.monotonic() - self._used > _UNUSED:
            await self.aclose()

    async def aclose(self) -> None:
        async with self._turn:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(Exception):
                    await connection.close(timeout=1)

    async def _fetch(self, statement: str, *values: Any) -> list[Any]:
        async with self._turn:
            try:
                return list(await (await self._connected()).fetch(statement, *values))
            except _errors() as error:
                raise await self._lost(error) from error

    async def _connected(self) -> asyncpg.Connection[Any]:
        import asyncpg

        self._used = time.monotonic()
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._url,
                timeout=_TIMEOUT,
                command_timeout=_TIMEOUT,
                statement_cache_size=16,
                server_settings={
                    "application_name": "twelvefold-console",
                    "default_transaction_read_only": "on",
                    "jit": "off",
                },
            )
        return self._connection

    async def _lost(self, error: BaseException) -> JobsUnavailable:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
        return JobsUnavailable(f"the jobs cannot be read: {str(error) or type(error).__name__}")

    async def _publish(self, action: str, job_id: UUID, version: int) -> None:
        """A hint to the worker and to listeners; who misses it finds out by polling."""
        with suppress(Exception):
            from redis.asyncio import Redis

            client: Any = Redis.from_url(
                self._redis_url,
                socket_timeout=_REDIS_TIMEOUT,
                socket_connect_timeout=_REDIS_TIMEOUT,
            )
            async with client:
                await client.publish(change_channel(job_id), str(version))
                if action == "cancel":
                    await client.publish(CANCEL_CHANNEL, str(job_id))


def _errors() -> tuple[type[BaseException], ...]:
    import asyncpg

    return (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


def _shown(row: Any) -> dict[str, Any]:
    found = dict(row)
    for name in ("payload", "result", "errors", "trace_context"):
        if isinstance(found.get(name), str):
            found[name] = json.loads(found[name])
    carrier = found.pop("trace_context") or {}
    match = _TRACEPARENT.match(str(carrier.get("traceparent", "")))
    found["trace_id"], found["span_id"] = (match[1], match[2]) if match else (None, None)
    clean: dict[str, Any] = redact(found)
    return clean
