"""Names of the Redis channels for hints. A receiver that misses a hint finds out by polling."""

from uuid import UUID

# Carries the ids of running jobs for which a cancellation was requested.
CANCEL_CHANNEL = "twelvefold:jobs:cancel"


def change_channel(job_id: UUID) -> str:
    """Return the channel that carries the row's version after each change of one job."""
    return f"twelvefold:jobs:changed:{job_id}"


def wakeup_channel(queue: str) -> str:
    """Return the channel that signals a queue's workers to poll for wake-ups."""
    return f"twelvefold:jobs:rings:{queue}"
