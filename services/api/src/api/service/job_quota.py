"""The limit of waiting jobs of one account."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from twelvefold.contracts.jobs import IMAGE_PROCESS
from twelvefold.database.database import Reader
from twelvefold.errors import TooManyRequests
from twelvefold.jobs import JobQueue


@dataclass(frozen=True, slots=True)
class JobQuota:
    """At most `max_waiting` jobs of one owner wait, of the kind that users may start.

    Concurrent requests may each see room for one. The excess is at most the number of concurrent
    transactions of the owner, which the connections of all replicas bound.
    """

    queue: JobQueue
    max_waiting: int
    retry_after: int = 10  # seconds

    async def require_room(self, reader: Reader, owner_id: UUID) -> None:
        """Raise TooManyRequests at the limit. Call it in the transaction that adds a job."""
        waiting = await self.queue.count_waiting(
            reader, owner_id, IMAGE_PROCESS, max_count=self.max_waiting
        )
        if waiting >= self.max_waiting:
            raise TooManyRequests(
                f"{self.max_waiting} of your jobs are waiting. Add more once some have run.",
                retry_after=self.retry_after,
            )
