"""The jobs as the console shows and changes them, with the worker's database role.

Owns one read-only connection, opened on demand and closed when it is not used. Changes call the
same database functions as `twelvefold.jobs`, whose SQLAlchemy would double the memory of this
process.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from twelvefold.jobs.channels import CANCEL_CHANNEL, change_channel
from twelvefold.observability.redaction import redact

if TYPE_CHECKING:
    import asyncpg

MAX_LIMIT = 200
MAX_RETRIED = 500  # by one request
RETRYABLE = ("failed", "dead", "rejected", "cancelled")
_TIMEOUT = 5.0  # seconds for one statement or connection
_REDIS_TIMEOUT = 1.0  # seconds
_IDLE_TIMEOUT = 60.0  # seconds after which the connection is closed
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
"""  # noqa: S608 (constants)
_ONE = f"""
SELECT {_COLUMNS}, payload, result, errors, claim_no, lease_until FROM jobs.jobs WHERE id = $1
"""  # noqa: S608 (constants)
_COUNTS = "SELECT kind, status, count(*) AS jobs FROM jobs.jobs GROUP BY kind, status"
# Rows written so far, from the statistics: about a second late, but without reading the table.
_WRITES = """
SELECT coalesce(n_tup_ins + n_tup_upd + n_tup_del, 0) FROM pg_stat_all_tables
WHERE schemaname = 'jobs' AND relname = 'jobs'
"""
# The functions return whether they changed the job, and its status.
_CHANGES: Mapping[str, str] = {
    "retry": "SELECT status, changed, version FROM jobs.retry_job($1)",
    "cancel": "SELECT status, changed, version FROM jobs.cancel_job($1)",
}


_RETRY_ALL = """
SELECT j.id, r.version FROM (
  SELECT id FROM jobs.jobs WHERE status = $1 AND ($2::text IS NULL OR kind = $2)
  ORDER BY created_at, id LIMIT $3
) AS j CROSS JOIN LATERAL jobs.retry_job(j.id) AS r WHERE r.changed
"""


class JobsUnavailable(Exception):
    """PostgreSQL does not respond, or the schema does not exist yet."""


class Jobs:
    """The jobs of one stack. `url` has the worker's role; changes are published to `redis_url`.

    Every method raises JobsUnavailable where PostgreSQL does not respond.
    """

    def __init__(self, url: str, redis_url: str) -> None:
        self._url = url
        self._redis_url = redis_url
        self._connection: asyncpg.Connection[Any] | None = None
        self._lock = asyncio.Lock()
        self._last_used = 0.0  # by the monotonic clock

    async def newest(
        self, *, status: str | None, kind: str | None, before: Any, limit: int
    ) -> list[dict[str, Any]]:
        """Return the newest jobs, at most MAX_LIMIT, created before the time `before`."""
        rows = await self.fetch(_LIST, status, kind, before, min(limit, MAX_LIMIT))
        return [_to_json(row) for row in rows]

    async def counts(self) -> list[dict[str, Any]]:
        """Return the number of jobs by kind and status."""
        return [dict(row) for row in await self.fetch(_COUNTS)]

    async def one(self, job_id: UUID) -> dict[str, Any] | None:
        """Return one job with payload, result and errors, or None where it does not exist."""
        rows = await self.fetch(_ONE, job_id)
        return _to_json(rows[0]) if rows else None

    async def count_writes(self) -> int:
        """Return the number of rows written so far, which grows with every change of a job."""
        rows = await self.fetch(_WRITES)
        return int(rows[0][0]) if rows else 0

    async def change(self, action: str, job_id: UUID) -> dict[str, Any] | None:
        """Retry or cancel a job, or return None where it does not exist.

        `changed` in the result says whether the action had an effect.
        """
        statement = _CHANGES[action]
        async with self._lock:
            try:
                connection = await self._connect()
                async with connection.transaction():
                    await connection.execute("SET TRANSACTION READ WRITE")
                    row = await connection.fetchrow(statement, job_id)
            except _errors() as error:
                raise self._discard_connection(error) from error
        if row is None:
            return None
        if row["changed"]:
            await self._publish(action, [(job_id, row["version"])])
        return {"status": row["status"], "changed": row["changed"]}

    async def retry_all(self, status: str, kind: str | None) -> int:
        """Retry the oldest jobs in a state, at most MAX_RETRIED, and return their number."""
        async with self._lock:
            try:
                connection = await self._connect()
                async with connection.transaction():
                    await connection.execute("SET TRANSACTION READ WRITE")
                    rows = await connection.fetch(_RETRY_ALL, status, kind, MAX_RETRIED)
            except _errors() as error:
                raise self._discard_connection(error) from error
        await self._publish("retry", [(row["id"], row["version"]) for row in rows])
        return len(rows)

    async def close_if_unused(self) -> None:
        """Close the connection after a minute without use."""
        if time.monotonic() - self._last_used > _IDLE_TIMEOUT:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the connection."""
        async with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(Exception):
                    await connection.close(timeout=1)

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        """Return the rows of a statement that reads."""
        async with self._lock:
            try:
                return list(await (await self._connect()).fetch(statement, *values))
            except _errors() as error:
                raise self._discard_connection(error) from error

    async def _connect(self) -> asyncpg.Connection[Any]:
        import asyncpg

        self._last_used = time.monotonic()
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

    def _discard_connection(self, error: BaseException) -> JobsUnavailable:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
        return JobsUnavailable(f"The jobs cannot be read: {str(error) or type(error).__name__}.")

    async def _publish(self, action: str, changes: Sequence[tuple[UUID, int]]) -> None:
        """Send change hints. A worker or listener that misses one sees the change by polling."""
        with suppress(Exception):
            from redis.asyncio import Redis

            client: Any = Redis.from_url(
                self._redis_url,
                socket_timeout=_REDIS_TIMEOUT,
                socket_connect_timeout=_REDIS_TIMEOUT,
            )
            async with client, client.pipeline(transaction=False) as hints:
                for job_id, version in changes:
                    hints.publish(change_channel(job_id), str(version))
                    if action == "cancel":
                        hints.publish(CANCEL_CHANNEL, str(job_id))
                await hints.execute()


def _errors() -> tuple[type[BaseException], ...]:
    import asyncpg

    return (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


def _to_json(row: Any) -> dict[str, Any]:
    job = dict(row)
    for name in ("payload", "result", "errors", "trace_context"):
        if isinstance(job.get(name), str):
            job[name] = json.loads(job[name])
    carrier = job.pop("trace_context") or {}
    match = _TRACEPARENT.match(str(carrier.get("traceparent", "")))
    job["trace_id"], job["span_id"] = (match[1], match[2]) if match else (None, None)
    clean: dict[str, Any] = redact(job)
    return clean
