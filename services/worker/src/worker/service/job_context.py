"""What a use case needs of its job (`twelvefold.jobs.JobContext`)."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID


class JobContext(Protocol):
    """The identity, lease and progress of a running job."""

    @property
    def id(self) -> UUID: ...

    @property
    def created_at(self) -> datetime: ...

    def require_lease(self) -> None:
        """Raise LeaseLost if another worker may run the job."""
        ...

    async def set_progress(self, percent: int) -> None:
        """Record the progress in per cent (0 to 100)."""
        ...
