"""Durable job queue. The PostgreSQL row is authoritative; arq only delivers wake-ups.

A producer needs `JobQueue` and `RedisWakeupPublisher`, a service that shows jobs `JobEvents`, a
worker `Consumer` with a `HandlerRegistry` of its kinds. Names are imported at first use, so that a
use case that needs `JobRecord` and a command that needs `JobStatus` load no driver.
"""

from typing import TYPE_CHECKING

from twelvefold.public_names import import_on_use

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
    from .worker.consumer import Consumer as Consumer
    from .worker.consumer import ConsumerOptions as ConsumerOptions
    from .worker.consumer import create_consumer as create_consumer
    from .worker.context import JobContext as JobContext
    from .worker.registry import HandlerRegistry as HandlerRegistry
    from .worker.runner import RunnerOptions as RunnerOptions

_HOMES = {
    "Backoff": "retry_policy",
    "Completion": "model",
    "Consumer": "worker.consumer",
    "ConsumerOptions": "worker.consumer",
    "HandlerRegistry": "worker.registry",
    "JobContext": "worker.context",
    "JobEvents": "events",
    "JobKind": "model",
    "JobQueue": "queue",
    "JobRecord": "model",
    "JobStatus": "model",
    "LeaseLost": "model",
    "PeriodicJob": "model",
    "RedisWakeupPublisher": "wakeup.arq",
    "RunnerOptions": "worker.runner",
    "Wakeup": "model",
    "WakeupPublisher": "queue",
    "create_consumer": "worker.consumer",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 (a single list of names)
__getattr__ = import_on_use(__name__, _HOMES)
