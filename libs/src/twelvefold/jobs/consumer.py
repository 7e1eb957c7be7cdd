"""A worker's share of the jobs, put together: doorbell, runner, dispatcher, hints.

Owns the order in which they begin and end, nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from twelvefold.database import Database
from twelvefold.settings import RedisSettings
from twelvefold.subscriber import Subscriber

from .channels import CANCELS, changes_of, rings_of
from .contract import DEFAULT_QUEUE, CronJob, Registry
from .dispatch import Dispatcher, DispatcherOptions
from .doorbell import ArqListener, Ringer
from .lease import Leases, LeaseTerms
from .runner import Runner, RunnerOptions


@dataclass(frozen=True, slots=True)
class ConsumerOptions:
    """How one process works on one queue. Times in seconds."""

    worker: str  # names this process in the rows that it works on
    queue: str = DEFAULT_QUEUE
    lease: float = 30.0
    window: float = 3600.0  # how long a job that no worker understands is kept waiting
    poll_delay: float = 0.02  # between two looks of a busy doorbell
    doze: float = 0.25  # of one that nobody rings
    runner: RunnerOptions = field(default_factory=RunnerOptions)
    dispatcher: DispatcherOptions = field(default_factory=DispatcherOptions)


class Consumer:
    """Runs the jobs of one queue in this process."""

    def __init__(
        self,
        database: Database,
        redis: RedisSettings,
        registry: Registry,
        *,
        ringer: Ringer,
        options: ConsumerOptions,
        schedule: Sequence[CronJob] = (),
    ) -> None:
        """`ringer` is the process's own; its running is not ours."""

        def changed(job_id: UUID, version: int) -> None:
            ringer.publish(changes_of(job_id), str(version))

        terms = LeaseTerms(
            options.worker, options.queue, options.lease, options.window, registry.kinds
        )
        self.runner = Runner(
            database,
            Leases(database, terms),
            registry,
            options=options.runner,
            changed=changed,
            silence=ringer.silence,
            alone=lambda: not self.listener.connected,
        )
        self.listener = ArqListener(
            redis,
            queue=options.queue,
            concurrency=options.runner.concurrency,
            on_ring=self.runner.run,
            poll_delay=options.poll_delay,
            doze=options.doze,
        )
        self.dispatcher = Dispatcher(
            database,
            ringer,
            queue=options.queue,
            schedule=schedule,
            options=options.dispatcher,
            changed=changed,
        )
        self._subscriber = Subscriber(redis)
        self._rings = rings_of(options.queue)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Works while the block lasts. At its end running jobs may finish, the rest is released."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._subscriber.running())
            stack.enter_context(self._subscriber.listening(CANCELS, self._asked_to_stop))
            stack.enter_context(
                self._subscriber.listening(self._rings, lambda _: self.listener.wake())
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
        self.runner.look_at(job_id)
