"""The periodic jobs of the worker."""

from datetime import timedelta

from twelvefold.jobs import PeriodicJob
from twelvefold.jobs.retention import JOBS_PRUNE, PRUNE
from worker.job_kinds import OBJECTS_SWEEP, SWEEP

CORE = (
    PeriodicJob(
        JOBS_PRUNE,
        every=timedelta(hours=1),
        at=timedelta(minutes=17),
        max_attempts=PRUNE.max_attempts,
    ),
)
IMAGES = (
    PeriodicJob(
        OBJECTS_SWEEP,
        every=timedelta(hours=6),
        at=timedelta(minutes=43),
        max_attempts=SWEEP.max_attempts,
    ),
)
