"""The job queues that `make bench-jobs` compares, each with its producer and its worker.

Every one does no-op jobs on the same servers. The peers are in the dependency group `bench`, which
is not installed by default, so each module is imported only where it runs.
"""

from importlib import import_module

from tests.bench.job_queues.base import JobQueueSystem

NAMES = ("twelvefold", "arq", "pgqueuer", "procrastinate", "awa")


def load(name: str) -> JobQueueSystem:
    """Return the system of that name. Raises ModuleNotFoundError where it is not installed."""
    system: JobQueueSystem = import_module(f"tests.bench.job_queues.{name}_system").SYSTEM
    return system
