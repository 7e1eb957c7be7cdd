"""Names of the channels on which hints travel. Whoever misses one finds out by polling."""

from uuid import UUID

# Ids of running jobs that were asked to stop.
CANCEL_CHANNEL = "twelvefold:jobs:cancel"


def change_channel(job_id: UUID) -> str:
    """Where every change of one job is told, by the row's version."""
    return f"twelvefold:jobs:changed:{job_id}"


def wakeup_channel(queue: str) -> str:
    """Where a queue's workers are told to look for rings."""
    return f"twelvefold:jobs:rings:{queue}"
