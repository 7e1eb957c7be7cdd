"""Run jobs: claim them, renew their leases, and settle their results.

Owns the slots of one process. One loop makes every claim, for wake-ups and for polls of PostgreSQL,
so that a cancelled waiter cannot lose a claimed job. `execution` calls the handlers.
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
from twelvefold.jobs.lease_repository import LeaseRepository
from twelvefold.jobs.model import Claim, Fence, Wakeup
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
    """Limits of one process. Times are seconds."""

    concurrency: int = 10
    heartbeat: float = 10.0
    poll: float = 1.0  # between polls for jobs whose wake-up was lost
    fallback_poll_interval: float = 0.2  # the same while Redis is unavailable
    wakeup_grace: float = 5.0  # time for which a due job is left to its wake-up
    retry: float = 1.0  # pause after PostgreSQL was unavailable
    grace: float = 50.0  # for running handlers to finish at shutdown
    release: float = 5.0  # then, for cancelled handlers to stop and be released
    progress_interval: float = 0.5  # between two progress updates of one job


class Runner:
    """Run jobs of one queue in one process."""

    def __init__(
        self,
        database: Database,
        leases: LeaseRepository,
        registry: HandlerRegistry,
        *,
        options: RunnerOptions,
        on_change: Callable[[UUID, int], None] = lambda _id, _version: None,
        withdraw: Callable[[Wakeup], None] = lambda _wakeup: None,
        redis_unavailable: Callable[[], bool] = lambda: True,
    ) -> None:
        """`on_change` is called with the id and each new version of a row.

        `withdraw` removes the wake-up of a job that was claimed without it. While
        `redis_unavailable` returns True, polls claim every due job.
        """
        self._database = database
        self._leases = leases
        self._registry = registry
        self._options = options
        self._on_change = on_change
        self._withdraw = withdraw
        self._redis_unavailable = redis_unavailable
        self._settlement_writer = SettlementWriter(database, leases, retry=options.retry)
        self._runs: dict[Fence, JobRun] = {}
        self._renewer = LeaseRenewer(
            leases, self._runs, interval=options.heartbeat, retry=options.retry
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._slot_requests: deque[_SlotRequest] = deque()
        self._limits = {
            kind.name: kind.concurrency for kind in registry.kinds if kind.concurrency is not None
        }
        metrics.register_pool("jobs", options.concurrency, lambda: len(self._runs))
        self._wake = asyncio.Event()
        self._poll_all_due = True  # the next iteration claims every due job
        self._stopping_since: float | None = None

    @property
    def busy(self) -> int:
        """Return the number of jobs that run or are being settled."""
        return len(self._runs)

    async def handle_wakeup(self, job_id: UUID | None = None) -> None:
        """Wait for a slot, run the due job that is next, and return when it has ended.

        That need not be the job of the wake-up, `job_id`: a more urgent one goes first, and its own
        wake-up leads to the other. Returns at once if no job is due. A cancellation of this call
        does not affect the job.
        """
        request = _SlotRequest(job_id, asyncio.get_running_loop().create_future())
        self._slot_requests.append(request)
        self._wake.set()
        await request.done

    def check_cancellation(self, job_id: UUID) -> None:
        """Renew the leases now if the job runs here: the response shows requested cancellations."""
        if any(job_id == running_id for running_id, _ in self._runs):
            self._renewer.renew_now()

    def stop_claiming(self) -> None:
        """Stop claiming, as the first step of a drain. The grace period starts."""
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
        self._wake.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run jobs while the block runs; then finish or release each of them."""
        loops = [
            asyncio.create_task(self._claim_loop(), name="job-claims"),
            asyncio.create_task(self._renewer.run(), name="job-heartbeats"),
        ]
        try:
            yield
        finally:
            self.stop_claiming()
            # A claim in flight is finished, not cancelled: this worker may hold its jobs already.
            await asyncio.wait(loops[:1])
            await self._stop_jobs()
            await cancel_and_wait(loops)
            await self._leases.aclose()

    # Claiming

    async def _claim_loop(self) -> None:
        next_poll = 0.0
        outage = OutageLog(_log)
        while self._stopping_since is None:
            self._wake.clear()
            try:
                if self._poll_all_due or time.monotonic() >= next_poll:
                    await self._poll()
                    options = self._options
                    pause = (
                        options.fallback_poll_interval
                        if self._redis_unavailable()
                        else options.poll
                    )
                    next_poll = time.monotonic() + pause
                await self._serve_slot_requests()
                outage.succeeded()
            except Exception as error:
                # PostgreSQL is unavailable, or the schema does not exist yet.
                outage.failed("claim_failed", error=type(error).__name__, reason=str(error))
                next_poll = 0.0
                await self._pause(self._options.retry)
                continue
            await self._pause(max(0.0, next_poll - time.monotonic()))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    @property
    def _free_slots(self) -> int:
        return self._options.concurrency - len(self._runs)

    async def _serve_slot_requests(self) -> None:
        while self._stopping_since is None:
            self._slot_requests = deque(
                request for request in self._slot_requests if not request.done.done()
            )
            limit = min(self._free_slots, len(self._slot_requests))
            if limit <= 0:
                return
            runs, limited = await self._claim(limit, 0.0)
            for run in runs:
                self._start(run, self._slot_requests.popleft() if self._slot_requests else None)
            if not limited:
                for _ in range(min(limit - len(runs), len(self._slot_requests))):
                    self._slot_requests.popleft().resolve()

    async def _poll(self) -> None:
        poll_all_due = self._poll_all_due or self._redis_unavailable()
        min_overdue = 0.0 if poll_all_due else self._options.wakeup_grace
        while self._free_slots > 0 and self._stopping_since is None:
            self._poll_all_due = False
            runs, limited = await self._claim(self._free_slots, min_overdue)
            for run in runs:
                self._start(run, None)
            if not limited:
                return

    async def _claim(self, limit: int, min_overdue: float) -> tuple[list[JobRun], bool]:
        """Return new runs, and whether a kind's limit may have kept back further due jobs."""
        running = Counter(run.claim.kind for run in self._runs.values())
        free = {kind: maximum - running[kind] for kind, maximum in self._limits.items()}
        expires_at = time.monotonic() + self._leases.config.lease
        claims = await self._leases.claim(limit, min_overdue=min_overdue, free_slots=free)
        claimed = Counter(claim.kind for claim in claims)
        limited = any(0 < slots <= claimed[kind] for kind, slots in free.items())
        runs = [JobRun(claim, self._create_context(claim, expires_at)) for claim in claims]
        return runs, limited and len(claims) < limit

    def _create_context(self, claim: Claim, lease_expires_at: float) -> JobContext:
        return JobContext(
            claim,
            leases=self._leases,
            database=self._database,
            on_change=self._on_change,
            lease_expires_at=lease_expires_at,
            progress_interval=self._options.progress_interval,
        )

    # Running

    def _start(self, run: JobRun, request: _SlotRequest | None) -> None:
        claim = run.claim
        self._runs[claim.fence] = run
        # With every slot taken, more jobs may be due. The next free slots are then filled by a
        # poll, in batches: cheaper than wake-ups, of which arq takes no more in the meantime.
        self._poll_all_due = self._poll_all_due or self._free_slots <= 0
        if request is None or request.job_id != claim.id:
            self._withdraw(Wakeup(claim.id, claim.claim_no - 1, self._leases.config.queue))
        self._on_change(claim.id, claim.version)
        task = asyncio.create_task(self._run_job(run), name=f"run-{claim.id}")
        self._tasks.add(task)

        def on_done(_: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()):
                # A defect of this package. The lease expires and the job is reaped.
                _log.error("job_run_crashed", job_id=str(claim.id), exc_info=error)
            self._runs.pop(claim.fence, None)
            # Jobs that a limit kept back have used up their wake-ups.
            self._poll_all_due = self._poll_all_due or claim.kind in self._limits
            if request is not None:
                request.resolve()
            self._wake.set()

        task.add_done_callback(on_done)

    async def _run_job(self, run: JobRun) -> None:
        claim = run.claim
        registration = self._registry.get(claim.kind)
        with instrument_job(claim) as observation:
            outcome = await run.run(registration)
            result = None
            if outcome is not None:
                with spans.span("job.settle"):
                    result = await self._settlement_writer.settle(run, registration, outcome)
            observation.status = result.status if result else None
        if result is None:
            metrics.jobs_leases_lost.labels("fenced").inc()
        else:
            self._on_change(claim.id, result.version)

    # Stopping

    async def _stop_jobs(self) -> None:
        since = self._stopping_since or time.monotonic()
        remaining = since + self._options.grace - time.monotonic()
        if self._tasks and remaining > 0:
            await asyncio.wait(self._tasks, timeout=remaining)
        for run in self._runs.values():
            run.stop(StopReason.SHUTDOWN)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._options.release)
            for task in late:
                # Not released, because the handler may still run. The lease expires.
                _log.error("job_abandoned", task=task.get_name())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await cancel_and_wait(late)
        for request in self._slot_requests:
            request.done.cancel()


@dataclass(frozen=True, slots=True)
class _SlotRequest:
    """A wake-up that waits for a slot, and then for the end of the job that runs in it."""

    job_id: UUID | None
    done: asyncio.Future[None]

    def resolve(self) -> None:
        """Let the waiting wake-up return, unless it was cancelled."""
        if not self.done.done():
            self.done.set_result(None)
