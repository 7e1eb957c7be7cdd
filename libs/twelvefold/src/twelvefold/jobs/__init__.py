"""Durable job queue. The PostgreSQL row is authoritative; arq only delivers wake-ups.

A producer needs `JobQueue` and `RedisWakeupPublisher`, a service that shows jobs `JobEvents`, a
worker `Consumer` with a `HandlerRegistry` of its kinds. Names are imported at first use, so that a
use case that needs `JobRecord` and a command that needs `JobStatus` load no driver.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .events import JobEvents as JobEvents
    from .model import Completion as Completion
    from .model import JobKind as JobKind
    from .model import JobRecord as JobRecord
    from .model import JobStatus as JobStatus
    from .model import LeaseLost as LeaseLost
    from .model import PeriodicJob as PeriodicJob
    from .model import Wakeup as Wakeup
    from .queue import JobQueue as JobQueue
    from .queue import WakeupPublisher as WakeupPublisher
    from .retry_policy import Backoff as Backoff
    from .wakeup.arq import RedisWakeupPublisher as RedisWakeupPublisher
    from .worker.context import JobContext as JobContext
    from .worker.registry import HandlerRegistry as HandlerRegistry

_HOMES = {
    "Backoff": "retry_policy",
    "Completion": "model",
    "PeriodicJob": "model",
    "WakeupPublisher": "queue",
    "JobContext": "worker.context",
    "JobEvents": "events",
    "JobKind": "model",
    "JobQueue": "queue",
    "JobRecord": "model",
    "JobStatus": "model",
    "LeaseLost": "model",
    "HandlerRegistry": "worker.registry",
    "Wakeup": "model",
    "RedisWakeupPublisher": "wakeup.arq",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 (a single list of names)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
