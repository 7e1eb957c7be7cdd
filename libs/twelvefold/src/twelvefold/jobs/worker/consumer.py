"""The parts of a worker process: wake-up listener, runner, queue maintenance, hint subscriber.

Owns only the order in which they start and stop.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from twelvefold.cache.pubsub import Subscriber
from twelvefold.database.database import Database
from twelvefold.jobs.channels import CANCEL_CHANNEL, change_channel, wakeup_channel
from twelvefold.jobs.lease_repository import LeaseConfig, LeaseRepository
from twelvefold.jobs.model import DEFAULT_QUEUE, Claim, PeriodicJob, Wakeup
from twelvefold.jobs.wakeup.arq import ArqListener, RedisWakeupPublisher
from twelvefold.settings import ConsumerSettings, RedisSettings

from .maintenance import MaintenanceOptions, QueueMaintenance
from .registry import HandlerRegistry
from .runner import Runner, RunnerOptions


@dataclass(frozen=True, slots=True)
class ConsumerOptions:
    """How one process works on one queue. Times are seconds."""

    worker: str  # identifies this process in the rows that it works on
    queue: str = DEFAULT_QUEUE
    lease: float = 30.0
    unusable_window: float = 3600.0  # wait of a job with an invalid payload until it is dead
    poll_interval: float = 0.02  # at least, between two polls for wake-ups
    idle_poll_interval: float = 0.25  # the same without a message that announces one
    runner: RunnerOptions = field(default_factory=RunnerOptions)
    maintenance: MaintenanceOptions = field(default_factory=MaintenanceOptions)
    pass_on_interval: float = 0.1  # between two wake-ups for other workers during a backlog


class Consumer:
    """Run the jobs of one queue in this process."""

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
        """The caller runs `wakeups`."""

        def publish_change(job_id: UUID, version: int) -> None:
            wakeups.publish(change_channel(job_id), str(version))

        config = LeaseConfig(
            options.worker, options.queue, options.lease, options.unusable_window, registry.kinds
        )
        self.runner = Runner(
            database,
            LeaseRepository(database, config),
            registry,
            options=options.runner,
            on_change=publish_change,
            on_full_claim=self._pass_on,
            redis_unavailable=lambda: not self.listener.connected,
        )
        self.listener = ArqListener(
            redis,
            queue=options.queue,
            on_wakeup=self.runner.wake,
            accepts=lambda: self.runner.accepts_wakeups,
            poll_interval=options.poll_interval,
            idle_poll_interval=options.idle_poll_interval,
        )
        self.maintenance = QueueMaintenance(
            database,
            wakeups,
            queue=options.queue,
            schedule=schedule,
            options=options.maintenance,
            on_change=publish_change,
        )
        self._wakeups = wakeups
        self._options = options
        self._passed_on_at = float("-inf")
        self._subscriber = Subscriber(redis)
        self._wakeup_channel = wakeup_channel(options.queue)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work while the block runs. Its end waits for running jobs and releases the others."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._subscriber.running())
            stack.enter_context(self._subscriber.listen(CANCEL_CHANNEL, self._check_cancellation))
            stack.enter_context(
                self._subscriber.listen(self._wakeup_channel, self.listener.announce)
            )
            # They stop in reverse order: wake-ups, then maintenance, then the jobs.
            await stack.enter_async_context(self.runner.running())
            await stack.enter_async_context(self.maintenance.running())
            await stack.enter_async_context(self.listener.running())
            yield

    async def drain(self) -> None:
        """Stop claiming, as the first step of a drain. Running jobs continue."""
        self.listener.stop()
        self.runner.stop_claiming()

    def _pass_on(self, claim: Claim) -> None:
        """Wake another worker, because a claim that took all it could leaves jobs to others."""
        now = time.monotonic()
        if now - self._passed_on_at >= self._options.pass_on_interval:
            self._passed_on_at = now
            self._wakeups.wake(Wakeup(claim.id, claim.claim_no, self._options.queue))

    def _check_cancellation(self, message: str) -> None:
        try:
            job_id = UUID(message)
        except ValueError:
            return  # the confirmation of a subscription, or an invalid message
        self.runner.check_cancellation(job_id)


def create_consumer(
    database: Database,
    settings: ConsumerSettings,
    registry: HandlerRegistry,
    *,
    wakeups: RedisWakeupPublisher,
    queue: str,
    schedule: Sequence[PeriodicJob] = (),
) -> Consumer:
    """Return the consumer of a queue as the settings configure it.

    The process runs `wakeups` and `Consumer.running`, and drains by `Consumer.drain`.
    """
    return Consumer(
        database,
        settings,
        registry,
        wakeups=wakeups,
        schedule=schedule,
        options=ConsumerOptions(
            worker=settings.instance_id,
            queue=queue,
            lease=settings.worker_lease,
            unusable_window=settings.worker_unusable_window,
            runner=RunnerOptions(
                concurrency=settings.worker_concurrency,
                heartbeat=settings.worker_lease / 3,
                grace=settings.worker_grace,
            ),
        ),
    )
