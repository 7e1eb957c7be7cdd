"""Changes of jobs as they happen, for streams to clients.

A hint by Redis says that a row has changed; the row itself says how. A poll every two seconds is
the floor, so that a lost hint, or a lost Redis, only makes it slower.
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

POLL_INTERVAL = 2.0  # seconds between looks at the row without any hint


class JobEvents:
    """Follows jobs; one subscription serves every watcher of the process."""

    def __init__(
        self, database: Database, settings: RedisSettings, *, poll_interval: float = POLL_INTERVAL
    ) -> None:
        self._jobs = JobQueue(database)
        self._subscriber = Subscriber(settings)
        self._poll_interval = poll_interval

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Takes hints while the block runs; outside it, watchers go by the floor alone."""
        async with self._subscriber.running():
            yield

    async def watch(
        self, job_id: UUID, last_version: int | None = None
    ) -> AsyncGenerator[JobRecord]:
        """The job as it is, unless `last_version` has seen that, then each newer state of it.

        Ends with the job. States that follow each other quickly may be left out, the last one
        never. A PostgreSQL that is away is waited for. Raises NotFound where there is no such
        job; close the iterator (`contextlib.aclosing`) to stop earlier.
        """
        seen = -1 if last_version is None else last_version
        hint = asyncio.Event()
        with self._subscriber.listen(change_channel(job_id), lambda _: hint.set()):
            while True:
                hint.clear()
                record = await self._poll(job_id)
                if record is not None and record.version > seen:
                    seen = record.version
                    yield record
                if record is not None and record.status.is_terminal:
                    return
                try:
                    async with asyncio.timeout(self._poll_interval):
                        await hint.wait()
                except TimeoutError:
                    pass

    async def _poll(self, job_id: UUID) -> JobRecord | None:
        try:
            record = await self._jobs.find(job_id)
        except (DependencyUnavailable, Overloaded):
            return None
        if record is None:
            raise NotFound("no such job")
        return record
