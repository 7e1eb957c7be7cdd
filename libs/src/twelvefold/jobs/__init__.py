"""Durable jobs: the row is the truth, arq is the doorbell.

A producer needs `JobQueue` and `Ringer`, whoever shows a job's life `JobEvents`, a worker
`Consumer` with a `Registry` of its kinds.
"""

from .contract import (
    Backoff,
    Completion,
    CronJob,
    JobKind,
    JobRecord,
    JobStatus,
    Registry,
    Ring,
)
from .doorbell import Ringer
from .events import JobEvents
from .execution import Job
from .lease import LeaseLost
from .queue import Doorbell, JobQueue

__all__ = [
    "Backoff",
    "Completion",
    "CronJob",
    "Doorbell",
    "Job",
    "JobEvents",
    "JobKind",
    "JobQueue",
    "JobRecord",
    "JobStatus",
    "LeaseLost",
    "Registry",
    "Ring",
    "Ringer",
]
