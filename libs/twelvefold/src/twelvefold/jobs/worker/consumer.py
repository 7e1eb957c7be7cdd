"""A worker's share of the jobs, put together: wake-ups, runner, maintenance, hints.

Owns the order in which they begin and end, nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from twelvefold.cache.pubsub import Subscriber
from twelvefold.database.database import Database
from twelvefold.jobs.channels import CANCEL_CHANNEL, change_channel, wakeup_channel
from twelvefold.jobs.lease_repository import LeaseConfig, LeaseRepository
from twelvefold.jobs.model import DEFAULT_QUEUE, PeriodicJob
from twelvefold.jobs.wakeup.arq import ArqListener, RedisWakeupPublisher
from twelvefold.settings import RedisSettings

from .maintenance import MaintenanceOptions, QueueMaintenance
from .registry import HandlerRegistry
from .runner import Runner, RunnerOptions


@dataclass(frozen=True, slots=True)
class ConsumerOptions:
    """How one process works on one queue. Times in seconds."""

    worker: str  # names this process in the rows that it works on
    queue: str = DEFAULT_QUEUE
    lease: float = 30.0
    unusable_window: float = 3600.0  # how long a job that no worker understands is kept waiting
    poll_interval: float = 0.02  # between two polls of a busy listener
    idle_poll_interval: float = 0.25  # of one that nobody rings
    runner: RunnerOptions = field(default_factory=RunnerOptions)
    maintenance: MaintenanceOptions = field(default_factory=MaintenanceOptions)


class Consumer:
    """Runs the jobs of one queue in this process."""

    def __init__(
        self,
        database: Database,
        redis: RedisSettings,
        registry: HandlerRegistry,
        *,
        wakeups: RedisWakeupPublisher,
        options: ConsumerOptions,
        schedule: Sequence[PeriodicJob] = (),
    ) -> None:
        """`wakeups` is the process's own; its running is not ours."""

        def changed(job_id: UUID, version: int) -> None:
            wakeups.publish(change_channel(job_id), str(version))

        terms = LeaseConfig(
            options.worker, options.queue, options.lease, options.unusable_window, registry.kinds
        )
        self.runner = Runner(
            database,
            LeaseRepository(database, terms),
            registry,
            options=options.runner,
            on_change=changed,
            withdraw=wakeups.withdraw,
            redis_unavailable=lambda: not self.listener.connected,
        )
        self.listener = ArqListener(
            redis,
            queue=options.queue,
            concurrency=options.runner.concurrency,
            on_wakeup=self.runner.handle_wakeup,
            poll_interval=options.poll_interval,
            idle_poll_interval=options.idle_poll_interval,
        )
        self.dispatcher = QueueMaintenance(
            database,
            wakeups,
            queue=options.queue,
            schedule=schedule,
            options=options.maintenance,
            on_change=changed,
        )
        self._subscriber = Subscriber(redis)
        self._rings = wakeup_channel(options.queue)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Works while the block lasts. At its end running jobs may finish, the rest is released."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._subscriber.running())
            stack.enter_context(self._subscriber.listen(CANCEL_CHANNEL, self._asked_to_stop))
            stack.enter_context(
                self._subscriber.listen(self._rings, lambda _: self.listener.poll_now())
            )
            # Left in reverse: no new rings, then no dispatching, then the jobs end.
            await stack.enter_async_context(self.runner.running())
            await stack.enter_async_context(self.dispatcher.running())
            await stack.enter_async_context(self.listener.running())
            yield

    async def drain(self) -> None:
        """The first step of an orderly end: claims nothing more. Running jobs go on."""
        self.listener.stop()
        self.runner.stop_claiming()

    def _asked_to_stop(self, message: str) -> None:
        try:
            job_id = UUID(message)
        except ValueError:
            return  # a subscription that was confirmed, or not a hint of ours
        self.runner.check_cancellation(job_id)
