"""Run jobs: claim them, renew their leases, and settle their results.

Owns the slots of one process. `claim_loop` decides when it claims, `execution` calls the handlers,
`settlement` writes their results.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from twelvefold.database.database import Database
from twelvefold.jobs.lease_repository import LeaseRepository
from twelvefold.jobs.model import Claim, Fence
from twelvefold.observability import metrics, spans
from twelvefold.tasks import cancel_and_wait

from .claim_loop import ClaimLoop, ClaimPace, ClaimResult
from .context import JobContext
from .execution import JobRun, StopReason
from .heartbeat import LeaseRenewer
from .instrumentation import instrument_job
from .registry import HandlerRegistry
from .settlement import SettlementWriter
from .slots import Slots

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
    max_ahead: int = 50  # short jobs that wait for a slot of this process
    max_wait: float = 0.2  # of such a job, which is then returned for other workers
    pace: ClaimPace = field(default_factory=ClaimPace)


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
        on_full_claim: Callable[[Claim], None] = lambda _claim: None,
        redis_unavailable: Callable[[], bool] = lambda: True,
    ) -> None:
        """`on_change` is called with the id and each new version of a row.

        `on_full_claim` is called with the last job of a claim that used all free slots: other
        workers may find more. While `redis_unavailable` returns True, polls claim every due job.
        """
        self._database = database
        self._leases = leases
        self._registry = registry
        self._options = options
        self._on_change = on_change
        self._on_full_claim = on_full_claim
        self._settlement_writer = SettlementWriter(database, leases, retry=options.retry)
        self._runs: dict[Fence, JobRun] = {}
        self._renewer = LeaseRenewer(
            leases, self._runs, interval=options.heartbeat, retry=options.retry
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._limits = {
            kind.name: kind.concurrency for kind in registry.kinds if kind.concurrency is not None
        }
        self._slots = Slots(
            options.concurrency,
            max_ahead=options.max_ahead,
            max_wait=options.max_wait,
            start=self._start,
            give_back=self._give_back,
        )
        self._claim_loop = ClaimLoop(
            self._claim,
            claimable=lambda: self._claimable,
            capacity=lambda: self._slots.count + self._slots.ahead,
            poll_interval=lambda: (
                options.fallback_poll_interval if redis_unavailable() else options.poll
            ),
            wakeup_grace=lambda: 0.0 if redis_unavailable() else options.wakeup_grace,
            retry=options.retry,
            pace=options.pace,
        )
        metrics.register_pool("jobs", options.concurrency, lambda: self._slots.taken)
        self._stopping_since: float | None = None

    @property
    def busy(self) -> int:
        """Return the number of jobs that run or are being settled."""
        return len(self._runs)

    @property
    def accepts_wakeups(self) -> bool:
        """Return whether a wake-up is of use here: there is a free slot, and no claim is due."""
        return self._claim_loop.accepts_wakeups and self._slots.free > 0

    def wake(self) -> None:
        """Claim due jobs soon. Which ones, their priority, age and owner decide."""
        self._claim_loop.wake()

    def check_cancellation(self, job_id: UUID) -> None:
        """Renew the leases now if the job runs here: the response shows requested cancellations."""
        if any(job_id == running_id for running_id, _ in self._runs):
            self._renewer.renew_now()

    def stop_claiming(self) -> None:
        """Stop claiming, as the first step of a drain. The grace period starts."""
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
        self._claim_loop.stop()
        self._slots.give_back_waiting()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run jobs while the block runs; then finish or release each of them."""
        loops = [
            asyncio.create_task(self._claim_loop.run(), name="job-claims"),
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

    @property
    def _claimable(self) -> int:
        """Return how many jobs may be claimed. Results that are not yet written count as well."""
        held = 2 * self._options.concurrency + self._options.max_ahead
        return min(self._slots.claimable, held - len(self._runs))

    async def _claim(self, limit: int, min_overdue: float) -> ClaimResult:
        running = self._slots.count_kinds()
        free = {kind: maximum - running[kind] for kind, maximum in self._limits.items()}
        started = time.monotonic()
        claims = await self._leases.claim(limit, min_overdue=min_overdue, free_slots=free)
        self._slots.note_claim(time.monotonic() - started)
        expires_at = started + self._leases.config.lease
        for claim in claims:
            run = JobRun(claim, self._create_context(claim, expires_at))
            self._runs[claim.fence] = run
            self._slots.add(run)
        if self._stopping_since is not None:
            self._slots.give_back_waiting()
        if len(claims) >= limit:
            self._on_full_claim(claims[-1])
            return ClaimResult(len(claims))
        claimed = Counter(claim.kind for claim in claims)
        limited = any(0 < slots <= claimed[kind] for kind, slots in free.items())
        return ClaimResult(len(claims), limited)

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

    def _start(self, run: JobRun) -> None:
        claim = run.claim
        self._on_change(claim.id, claim.version)
        task = asyncio.create_task(self._run_job(run), name=f"run-{claim.id}")
        self._tasks.add(task)

        def on_done(_: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()):
                # A defect of this package. The lease expires and the job is reaped.
                _log.error("job_run_crashed", job_id=str(claim.id), exc_info=error)
            self._runs.pop(claim.fence, None)
            self._free_slot(run)

        task.add_done_callback(on_done)

    def _give_back(self, run: JobRun) -> None:
        """Release a job that has not started."""
        run.stop(StopReason.SHUTDOWN)
        self._start(run)
        self._on_full_claim(run.claim)

    def _free_slot(self, run: JobRun) -> None:
        if self._slots.release(run) and run.claim.kind in self._limits:
            self._claim_loop.wake()  # the limit may have kept back jobs of this kind
        self._claim_loop.free_slot()

    async def _run_job(self, run: JobRun) -> None:
        claim = run.claim
        registration = self._registry.get(claim.kind)
        with instrument_job(claim) as observation:
            outcome = await run.run(registration)
            if outcome is None or outcome.effects is None:
                self._free_slot(run)
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
