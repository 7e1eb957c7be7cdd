"""How many jobs of one account may wait: what it may add, and that it leaves room for others."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from twelvefold.contracts.jobs import IMAGE_PROCESS
from twelvefold.database.database import Reader
from twelvefold.errors import TooManyRequests
from twelvefold.jobs import JobQueue


@dataclass(frozen=True, slots=True)
class JobQuota:
    """How many jobs that one owner asked for wait at a time, of those that users may start.

    Two requests at once may each see room for one: at most as many too many as transactions of
    this owner are under way, which the connections of all replicas bound.
    """

    queue: JobQueue
    most: int
    retry_after: int = 10  # seconds

    async def require_room(self, reader: Reader, owner_id: UUID) -> None:
        """Asked in the transaction that adds one. Raises TooManyRequests where `most` wait."""
        waiting = await self.queue.count_waiting(
            reader, owner_id, IMAGE_PROCESS, max_count=self.most
        )
        if waiting >= self.most:
            raise TooManyRequests(
                f"{self.most} jobs of yours wait already; add more once some have run",
                retry_after=self.retry_after,
            )
