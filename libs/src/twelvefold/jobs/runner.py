"""Runs jobs: claims them, keeps their leases, and settles how they ended.

Owns the slots of one process. Jobs come by rings and straight from PostgreSQL, through one loop
that does every claim, so that no cancelled waiter can take a claimed job along. How a handler is
called is `execution`'s, the statements are `lease`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import structlog

from twelvefold import metrics, spans
from twelvefold.database import Database
from twelvefold.tasks import end_tasks

from .claim import Claim, Fence
from .contract import Registry, Ring
from .execution import Job, Running, Stop
from .heart import Heart
from .lease import Leases
from .observing import in_job
from .settling import Settler

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """Times in seconds."""

    concurrency: int = 10
    heartbeat: float = 10.0
    poll: float = 1.0  # between looks for jobs that no ring has brought
    poll_alone: float = 0.2  # the same while Redis is away
    overdue: float = 5.0  # how long a job is left to its ring while Redis is there
    retry: float = 1.0  # pause after PostgreSQL did not answer
    grace: float = 50.0  # for running handlers to end by themselves once we stop
    release: float = 5.0  # then, for cancelled handlers to end and be released
    progress_interval: float = 0.5  # between two written progresses of one job


class Runner:
    """One process's share of a queue. `changed` is told of every new version of a row."""

    def __init__(
        self,
        database: Database,
        leases: Leases,
        registry: Registry,
        *,
        options: RunnerOptions,
        changed: Callable[[UUID, int], None] = lambda _id, _version: None,
        silence: Callable[[Ring], None] = lambda _ring: None,
        alone: Callable[[], bool] = lambda: True,
    ) -> None:
        """`silence` takes back the ring of a job that was claimed without it.

        `alone` says whether rings cannot be expected: then every due job is taken directly.
        """
        self._database = database
        self._leases = leases
        self._registry = registry
        self._options = options
        self._changed = changed
        self._silence = silence
        self._alone = alone
        self._settler = Settler(database, leases, retry=options.retry)
        self._running: dict[Fence, Running] = {}
        self._heart = Heart(leases, self._running, interval=options.heartbeat, retry=options.retry)
        self._tasks: set[asyncio.Task[None]] = set()
        self._tickets: deque[_Ticket] = deque()
        self._limits = {
            kind.name: kind.concurrency for kind in registry.kinds if kind.concurrency is not None
        }
        metrics.watch_pool("jobs", options.concurrency, lambda: len(self._running))
        self._wake = asyncio.Event()
        self._look = True  # at the next wake, for every due job, straight into PostgreSQL
        self._stopping_since: float | None = None

    @property
    def busy(self) -> int:
        """Jobs that are running or being settled."""
        return len(self._running)

    async def run(self, hint: UUID | None = None) -> None:
        """What a ring does: waits for a slot, runs the best job that is due, returns at its end.

        Not necessarily the job of the ring, `hint`: a more urgent one goes first, and its own ring
        finds the other. Returns at once where nothing is due. To be cancelled without harm: the
        job goes on.
        """
        ticket = _Ticket(hint, asyncio.get_running_loop().create_future())
        self._tickets.append(ticket)
        self._wake.set()
        await ticket.done

    def look_at(self, job_id: UUID) -> None:
        """Somebody may have asked this job to stop: asks the database now, not at the next beat."""
        if any(job_id == held for held, _ in self._running):
            self._heart.beat_now()

    def stop_claiming(self) -> None:
        """The first step of an orderly end; the grace period begins."""
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
        self._wake.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs jobs while the block lasts; then ends or releases every one of them."""
        loops = [
            asyncio.create_task(self._claims(), name="job-claims"),
            asyncio.create_task(self._heart.beat_forever(), name="job-heartbeats"),
        ]
        try:
            yield
        finally:
            self.stop_claiming()
            # A claim under way is finished, not cancelled: its jobs are ours already.
            await asyncio.wait(loops[:1])
            await self._end_jobs()
            await end_tasks(loops)
            await self._leases.aclose()

    # Claiming

    async def _claims(self) -> None:
        next_look = 0.0
        told = False
        while self._stopping_since is None:
            self._wake.clear()
            try:
                if self._look or time.monotonic() >= next_look:
                    await self._look_directly()
                    options = self._options
                    pause = options.poll_alone if self._alone() else options.poll
                    next_look = time.monotonic() + pause
                await self._serve_tickets()
                told = False
            except Exception as error:
                # PostgreSQL away, or its schema not there yet: nothing to do but to try again.
                if not told:
                    _log.warning("claim_failed", error=type(error).__name__, reason=str(error))
                told = True
                next_look = 0.0
                await self._pause(self._options.retry)
                continue
            await self._pause(max(0.0, next_look - time.monotonic()))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    @property
    def _free(self) -> int:
        return self._options.concurrency - len(self._running)

    async def _serve_tickets(self) -> None:
        while self._stopping_since is None:
            self._tickets = deque(ticket for ticket in self._tickets if not ticket.done.done())
            wanted = min(self._free, len(self._tickets))
            if wanted <= 0:
                return
            taken, limited = await self._claim(wanted, 0.0)
            for running in taken:
                self._begin(running, self._tickets.popleft() if self._tickets else None)
            if not limited:
                for _ in range(min(wanted - len(taken), len(self._tickets))):
                    self._tickets.popleft().resolve()

    async def _look_directly(self) -> None:
        overdue = 0.0 if self._look or self._alone() else self._options.overdue
        while self._free > 0 and self._stopping_since is None:
            self._look = False
            taken, limited = await self._claim(self._free, overdue)
            for running in taken:
                self._begin(running, None)
            if not limited:
                return

    async def _claim(self, wanted: int, overdue: float) -> tuple[list[Running], bool]:
        """Also says whether a kind's limit, and not the lack of jobs, may have cut it short."""
        at_work = Counter(running.claim.kind for running in self._running.values())
        rooms = {kind: limit - at_work[kind] for kind, limit in self._limits.items()}
        held_until = time.monotonic() + self._leases.terms.lease
        claims = await self._leases.claim(wanted, overdue=overdue, rooms=rooms)
        taken = Counter(claim.kind for claim in claims)
        limited = any(0 < room <= taken[kind] for kind, room in rooms.items())
        found = [Running(claim, self._job(claim, held_until)) for claim in claims]
        return found, limited and len(claims) < wanted

    def _job(self, claim: Claim, held_until: float) -> Job:
        return Job(
            claim,
            leases=self._leases,
            database=self._database,
            changed=self._changed,
            held_until=held_until,
            progress_interval=self._options.progress_interval,
        )

    # Running

    def _begin(self, running: Running, ticket: _Ticket | None) -> None:
        claim = running.claim
        self._running[claim.fence] = running
        # With every slot taken there may be more. Then the next free one is filled straight away,
        # and by batches: much cheaper than by the rings, of which arq meanwhile takes no more.
        self._look = self._look or self._free <= 0
        if ticket is None or ticket.hint != claim.id:
            self._silence(Ring(claim.id, claim.claim_no - 1, self._leases.terms.queue))
        self._changed(claim.id, claim.version)
        task = asyncio.create_task(self._work(running), name=f"run-{claim.id}")
        self._tasks.add(task)

        def done(_: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()):
                # A defect of ours. The lease expires and the reaper finds the job.
                _log.error("run_broken", job_id=str(claim.id), exc_info=error)
            self._running.pop(claim.fence, None)
            # Where a limit kept jobs back, no ring is left to start them.
            self._look = self._look or claim.kind in self._limits
            if ticket is not None:
                ticket.resolve()
            self._wake.set()

        task.add_done_callback(done)

    async def _work(self, running: Running) -> None:
        claim = running.claim
        registration = self._registry.get(claim.kind)
        label = claim.kind if registration else "unknown"
        with in_job(claim, label) as observed:
            ended = await running.run(registration)
            settled = None
            if ended is not None:
                with spans.span("job.settle"):
                    settled = await self._settler.settle(running, registration, ended)
            observed.ended(settled.status if settled else None)
        if settled is None:
            metrics.jobs_leases_lost.labels("fenced").inc()
        else:
            self._changed(claim.id, settled.version)

    # Ending

    async def _end_jobs(self) -> None:
        since = self._stopping_since or time.monotonic()
        left = since + self._options.grace - time.monotonic()
        if self._tasks and left > 0:
            await asyncio.wait(self._tasks, timeout=left)
        for running in self._running.values():
            running.stop(Stop.SHUTDOWN)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._options.release)
            for task in late:
                # Not released: it may still be at work. The lease expires.
                _log.error("job_abandoned", task=task.get_name())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await end_tasks(late)
        for ticket in self._tickets:
            ticket.done.cancel()


@dataclass(frozen=True, slots=True)
class _Ticket:
    """A ring that waits for a slot, and then for the end of the job that it got."""

    hint: UUID | None
    done: asyncio.Future[None]

    def resolve(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
