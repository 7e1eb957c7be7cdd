"""Changes of jobs as they happen, for streams to clients.

A hint over Redis says that a row has changed; the row itself says how. The row is also polled
every two seconds, so that a lost hint or an unavailable Redis only adds latency.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from twelvefold.cache.pubsub import Subscriber
from twelvefold.database.database import Database
from twelvefold.errors import DependencyUnavailable, NotFound, Overloaded
from twelvefold.settings import RedisSettings

from .channels import change_channel
from .model import JobRecord
from .queue import JobQueue

POLL_INTERVAL = 2.0  # seconds between reads of the row without a hint


class JobEvents:
    """Watch jobs; one subscription serves every watcher of the process."""

    def __init__(
        self, database: Database, settings: RedisSettings, *, poll_interval: float = POLL_INTERVAL
    ) -> None:
        self._jobs = JobQueue(database)
        self._subscriber = Subscriber(settings)
        self._poll_interval = poll_interval

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Receive hints while the block runs. Outside it, watchers only poll."""
        async with self._subscriber.running():
            yield

    async def watch(
        self, job_id: UUID, last_version: int | None = None
    ) -> AsyncGenerator[JobRecord]:
        """Yield the job if it is newer than `last_version`, then each newer state.

        Ends when the job is terminal. States in quick succession may be skipped, but never the
        last one. While PostgreSQL is unavailable, the iterator waits. Raises NotFound where the
        job does not exist. To stop earlier, close the iterator (`contextlib.aclosing`).
        """
        last_seen = -1 if last_version is None else last_version
        hint = asyncio.Event()
        with self._subscriber.listen(change_channel(job_id), lambda _: hint.set()):
            while True:
                hint.clear()
                record = await self._try_find(job_id)
                if record is not None and record.version > last_seen:
                    last_seen = record.version
                    yield record
                if record is not None and record.status.is_terminal:
                    return
                try:
                    async with asyncio.timeout(self._poll_interval):
                        await hint.wait()
                except TimeoutError:
                    pass

    async def _try_find(self, job_id: UUID) -> JobRecord | None:
        try:
            record = await self._jobs.find(job_id)
        except (DependencyUnavailable, Overloaded):
            return None
        if record is None:
            raise NotFound("The job does not exist.")
        return record
