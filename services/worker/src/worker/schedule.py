"""What happens by the clock. A tick is a job row, unique by kind and time."""

from datetime import timedelta

from twelvefold.jobs import CronJob
from twelvefold.jobs.housekeeping import JOBS_PRUNE

SCHEDULE = (CronJob(JOBS_PRUNE, every=timedelta(hours=1), at=timedelta(minutes=17)),)
