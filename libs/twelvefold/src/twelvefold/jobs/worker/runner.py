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

from twelvefold.database.database import Database
from twelvefold.jobs.claim import Claim, Fence
from twelvefold.jobs.lease_repository import LeaseRepository
from twelvefold.jobs.model import Wakeup
from twelvefold.observability import metrics, spans
from twelvefold.observability.outage_log import OutageLog
from twelvefold.tasks import cancel_and_wait

from .context import JobContext
from .execution import JobRun, StopReason
from .heartbeat import LeaseRenewer
from .instrumentation import instrument_job
from .registry import HandlerRegistry
from .settlement import SettlementWriter

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """Times in seconds."""

    concurrency: int = 10
    heartbeat: float = 10.0
    poll: float = 1.0  # between looks for jobs that no ring has brought
    fallback_poll_interval: float = 0.2  # the same while Redis is away
    wakeup_grace: float = 5.0  # how long a job is left to its ring while Redis is there
    retry: float = 1.0  # pause after PostgreSQL did not answer
    grace: float = 50.0  # for running handlers to end by themselves once we stop
    release: float = 5.0  # then, for cancelled handlers to end and be released
    progress_interval: float = 0.5  # between two written progresses of one job


class Runner:
    """One process's share of a queue. `on_change` is told of every new version of a row."""

    def __init__(
        self,
        database: Database,
        leases: LeaseRepository,
        registry: HandlerRegistry,
        *,
        options: RunnerOptions,
        on_change: Callable[[UUID, int], None] = lambda _id, _version: None,
        withdraw: Callable[[Wakeup], None] = lambda _ring: None,
        redis_unavailable: Callable[[], bool] = lambda: True,
    ) -> None:
        """`withdraw` takes back the ring of a job that was claimed without it.

        `redis_unavailable` says whether rings cannot be expected: then every due job is taken directly.
        """
        self._database = database
        self._leases = leases
        self._registry = registry
        self._options = options
        self._on_change = on_change
        self._withdraw = withdraw
        self._redis_unavailable = redis_unavailable
        self._settlement_writer = SettlementWriter(database, leases, retry=options.retry)
        self._running: dict[Fence, JobRun] = {}
        self._renewer = LeaseRenewer(
            leases, self._running, interval=options.heartbeat, retry=options.retry
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._slot_requests: deque[_SlotRequest] = deque()
        self._limits = {
            kind.name: kind.concurrency for kind in registry.kinds if kind.concurrency is not None
        }
        metrics.register_pool("jobs", options.concurrency, lambda: len(self._running))
        self._wake = asyncio.Event()
        self._look = True  # at the next wake, for every due job, straight into PostgreSQL
        self._stopping_since: float | None = None

    @property
    def busy(self) -> int:
        """Jobs that are running or being settled."""
        return len(self._running)

    async def handle_wakeup(self, job_id: UUID | None = None) -> None:
        """What a ring does: waits for a slot, runs the best job that is due, returns at its end.

        Not necessarily the job of the ring, `job_id`: a more urgent one goes first, and its own ring
        finds the other. Returns at once where nothing is due. To be cancelled without harm: the
        job goes on.
        """
        ticket = _SlotRequest(job_id, asyncio.get_running_loop().create_future())
        self._slot_requests.append(ticket)
        self._wake.set()
        await ticket.done

    def check_cancellation(self, job_id: UUID) -> None:
        """Somebody may have asked this job to stop: asks the database now, not at the next beat."""
        if any(job_id == held for held, _ in self._running):
            self._renewer.renew_now()

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
            asyncio.create_task(self._renewer.run(), name="job-heartbeats"),
        ]
        try:
            yield
        finally:
            self.stop_claiming()
            # A claim under way is finished, not cancelled: its jobs are ours already.
            await asyncio.wait(loops[:1])
            await self._end_jobs()
            await cancel_and_wait(loops)
            await self._leases.aclose()

    # Claiming

    async def _claims(self) -> None:
        next_look = 0.0
        outage = OutageLog(_log)
        while self._stopping_since is None:
            self._wake.clear()
            try:
                if self._look or time.monotonic() >= next_look:
                    await self._poll_directly()
                    options = self._options
                    pause = (
                        options.fallback_poll_interval
                        if self._redis_unavailable()
                        else options.poll
                    )
                    next_look = time.monotonic() + pause
                await self._serve_slot_requests()
                outage.succeeded()
            except Exception as error:
                # PostgreSQL away, or its schema not there yet: nothing to do but to try again.
                outage.failed("claim_failed", error=type(error).__name__, reason=str(error))
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

    async def _serve_slot_requests(self) -> None:
        while self._stopping_since is None:
            self._slot_requests = deque(
                ticket for ticket in self._slot_requests if not ticket.done.done()
            )
            wanted = min(self._free, len(self._slot_requests))
            if wanted <= 0:
                return
            taken, limited = await self._claim(wanted, 0.0)
            for running in taken:
                self._begin(running, self._slot_requests.popleft() if self._slot_requests else None)
            if not limited:
                for _ in range(min(wanted - len(taken), len(self._slot_requests))):
                    self._slot_requests.popleft().resolve()

    async def _poll_directly(self) -> None:
        overdue = 0.0 if self._look or self._redis_unavailable() else self._options.wakeup_grace
        while self._free > 0 and self._stopping_since is None:
            self._look = False
            taken, limited = await self._claim(self._free, overdue)
            for running in taken:
                self._begin(running, None)
            if not limited:
                return

    async def _claim(self, wanted: int, overdue: float) -> tuple[list[JobRun], bool]:
        """Also says whether a kind's limit, and not the lack of jobs, may have cut it short."""
        at_work = Counter(running.claim.kind for running in self._running.values())
        rooms = {kind: limit - at_work[kind] for kind, limit in self._limits.items()}
        held_until = time.monotonic() + self._leases.terms.lease
        claims = await self._leases.claim(wanted, overdue=overdue, free_slots=rooms)
        taken = Counter(claim.kind for claim in claims)
        limited = any(0 < room <= taken[kind] for kind, room in rooms.items())
        found = [JobRun(claim, self._job(claim, held_until)) for claim in claims]
        return found, limited and len(claims) < wanted

    def _job(self, claim: Claim, lease_expires_at: float) -> JobContext:
        return JobContext(
            claim,
            leases=self._leases,
            database=self._database,
            on_change=self._on_change,
            lease_expires_at=lease_expires_at,
            progress_interval=self._options.progress_interval,
        )

    # Running

    def _begin(self, running: JobRun, ticket: _SlotRequest | None) -> None:
        claim = running.claim
        self._running[claim.fence] = running
        # With every slot taken there may be more. Then the next free one is filled straight away,
        # and by batches: much cheaper than by the rings, of which arq meanwhile takes no more.
        self._look = self._look or self._free <= 0
        if ticket is None or ticket.job_id != claim.id:
            self._withdraw(Wakeup(claim.id, claim.claim_no - 1, self._leases.terms.queue))
        self._on_change(claim.id, claim.version)
        task = asyncio.create_task(self._work(running), name=f"run-{claim.id}")
        self._tasks.add(task)

        def done(_: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()):
                # A defect of ours. The lease expires and the reaper finds the job.
                _log.error("job_run_crashed", job_id=str(claim.id), exc_info=error)
            self._running.pop(claim.fence, None)
            # Where a limit kept jobs back, no ring is left to start them.
            self._look = self._look or claim.kind in self._limits
            if ticket is not None:
                ticket.resolve()
            self._wake.set()

        task.add_done_callback(done)

    async def _work(self, running: JobRun) -> None:
        claim = running.claim
        registration = self._registry.get(claim.kind)
        label = claim.kind if registration else "unknown"
        with instrument_job(claim, label) as observed:
            ended = await running.run(registration)
            settled = None
            if ended is not None:
                with spans.span("job.settle"):
                    settled = await self._settlement_writer.settle(running, registration, ended)
            observed.ended(settled.status if settled else None)
        if settled is None:
            metrics.jobs_leases_lost.labels("fenced").inc()
        else:
            self._on_change(claim.id, settled.version)

    # Ending

    async def _end_jobs(self) -> None:
        since = self._stopping_since or time.monotonic()
        left = since + self._options.grace - time.monotonic()
        if self._tasks and left > 0:
            await asyncio.wait(self._tasks, timeout=left)
        for running in self._running.values():
            running.stop(StopReason.SHUTDOWN)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._options.release)
            for task in late:
                # Not released: it may still be at work. The lease expires.
                _log.error("job_abandoned", task=task.get_name())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await cancel_and_wait(late)
        for ticket in self._slot_requests:
            ticket.done.cancel()


@dataclass(frozen=True, slots=True)
class _SlotRequest:
    """A ring that waits for a slot, and then for the end of the job that it got."""

    job_id: UUID | None
    done: asyncio.Future[None]

    def resolve(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
