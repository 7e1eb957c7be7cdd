"""Durable jobs: the row is the truth, arq is the doorbell.

A producer needs `JobQueue` and `Ringer`, whoever shows a job's life `JobEvents`, a worker
`Consumer` with a `Registry` of its kinds. Names are imported at their first use: a use case that
knows a `JobRecord` and a command line that knows a `JobStatus` load no driver.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .claim import LeaseLost as LeaseLost
    from .contract import Backoff as Backoff
    from .contract import Completion as Completion
    from .contract import CronJob as CronJob
    from .contract import JobKind as JobKind
    from .contract import JobRecord as JobRecord
    from .contract import JobStatus as JobStatus
    from .contract import Registry as Registry
    from .contract import Ring as Ring
    from .doorbell import Ringer as Ringer
    from .events import JobEvents as JobEvents
    from .execution import Job as Job
    from .queue import Doorbell as Doorbell
    from .queue import JobQueue as JobQueue

_HOMES = {
    "Backoff": "contract",
    "Completion": "contract",
    "CronJob": "contract",
    "Doorbell": "queue",
    "Job": "execution",
    "JobEvents": "events",
    "JobKind": "contract",
    "JobQueue": "queue",
    "JobRecord": "contract",
    "JobStatus": "contract",
    "LeaseLost": "claim",
    "Registry": "contract",
    "Ring": "contract",
    "Ringer": "doorbell",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 (one list of names, not two)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
