"""Wake-ups over arq, from the producers of jobs to the workers.

The only module that knows arq. A wake-up is an id as JSON, and nothing depends on its arrival.
Producers write arq's two keys themselves: one round trip for a whole batch, and no import of arq
in their processes. Workers run arq's own worker under supervision, because it ends when Redis is
lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import structlog

from twelvefold.cache.redis_client import create_redis
from twelvefold.jobs.channels import wakeup_channel
from twelvefold.jobs.model import Wakeup
from twelvefold.observability import metrics
from twelvefold.settings import RedisSettings
from twelvefold.tasks import cancel_and_wait

from .buffer import BufferedSender

if TYPE_CHECKING:
    from arq.worker import Worker
    from redis.asyncio import Redis

FUNCTION = "ring"
JOB_KEY = "arq:job:"
_WAKEUP_TTL = 3600  # seconds; maintenance resends wake-ups much earlier
_WAKEUP_TIMEOUT = 3600  # seconds that arq waits for the job of a wake-up; it never ends a job
_CLOCK_SKEW = 1000  # milliseconds by which a worker's clock may be behind a producer's
_BUSY_PERIOD = 1.0  # seconds after a wake-up in which others are likely
_RESTART_DELAYS = (0.1, 2.0)  # seconds: the first and the longest pause before arq restarts
_log = structlog.get_logger(__name__)


class _Withdrawal(NamedTuple):
    wakeup: Wakeup


class _Publication(NamedTuple):
    channel: str
    message: str


def queue_key(queue: str) -> str:
    """Return the key of the sorted set that arq polls for a queue."""
    return f"twelvefold:jobs:ring:{queue}"


def encode_json(value: Any) -> bytes:
    """Return compact JSON."""
    # `default`: arq also serializes its own errors before it discards them.
    return json.dumps(value, separators=(",", ":"), default=str).encode()


class RedisWakeupPublisher:
    """Send wake-ups and hints in the background. Drop them while Redis is unavailable."""

    def __init__(self, settings: RedisSettings, *, capacity: int = 10_000) -> None:
        self._settings = settings
        self._redis: Redis | None = None
        self._sender: BufferedSender[Wakeup | _Withdrawal | _Publication] = BufferedSender(
            self._send,
            name="wakeups",
            capacity=capacity,
            on_outcome=lambda outcome, count: metrics.jobs_wakeups.labels(outcome).inc(count),
        )
        metrics.register_pool("wakeups", capacity, lambda: len(self._sender))

    def wake(self, wakeup: Wakeup) -> None:
        """Wake a worker for one job. Never blocks or fails."""
        self._sender.put(wakeup)

    def withdraw(self, wakeup: Wakeup) -> None:
        """Remove a wake-up that is no longer needed, so that arq does not process it."""
        self._sender.put(_Withdrawal(wakeup))

    def publish(self, channel: str, message: str) -> None:
        """Publish a message on a Redis channel. Never blocks or fails."""
        self._sender.put(_Publication(channel, message))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send while the block runs. Items that were put before wait for it."""
        self._redis = create_redis(self._settings)
        try:
            async with self._sender.running():
                yield
        finally:
            await self._redis.aclose()

    async def _send(self, batch: Sequence[Wakeup | _Withdrawal | _Publication]) -> None:
        if self._redis is None:
            raise RuntimeError("the wake-up publisher is not running")
        now = int(time.time() * 1000)
        pipe = self._redis.pipeline(transaction=False)
        for item in batch:
            match item:
                case _Publication(channel, message):
                    pipe.publish(channel, message)
                case _Withdrawal(wakeup):
                    pipe.zrem(queue_key(wakeup.queue), _wakeup_id(wakeup))
                    pipe.delete(JOB_KEY + _wakeup_id(wakeup))
                case Wakeup():
                    content = encode_wakeup(item.job_id, now)
                    pipe.set(JOB_KEY + _wakeup_id(item), content, nx=True, ex=_WAKEUP_TTL)
                    pipe.zadd(queue_key(item.queue), {_wakeup_id(item): now - _CLOCK_SKEW}, nx=True)
        # Last, so that a worker that receives it finds the whole batch.
        for queue in {item.queue for item in batch if isinstance(item, Wakeup)}:
            pipe.publish(wakeup_channel(queue), "")
        await pipe.execute()


def _wakeup_id(wakeup: Wakeup) -> str:
    return f"{wakeup.job_id}:{wakeup.claim_no}"


def encode_wakeup(job_id: UUID, now_ms: int) -> bytes:
    """Return a wake-up in the format of `arq.jobs.serialize_job`."""
    return encode_json({"t": None, "f": FUNCTION, "a": [str(job_id)], "k": {}, "et": now_ms})


class ArqListener:
    """Run arq's worker, which awaits `on_wakeup` for up to `concurrency` wake-ups at a time.

    arq polls. A second after the last wake-up, it waits for `poll_now` or `idle_poll_interval`
    before each poll: 50 polls per second cost a fifth of a core behind a mesh proxy.

    arq's worker ends when Redis is lost. It is restarted with a growing pause while the block of
    `running` runs. The jobs that `on_wakeup` started are not affected.
    """

    def __init__(
        self,
        settings: RedisSettings,
        *,
        queue: str,
        concurrency: int,
        on_wakeup: Callable[[UUID], Awaitable[None]],
        poll_interval: float = 0.02,
        idle_poll_interval: float = 0.25,
    ) -> None:
        """`poll_interval`: seconds between the polls of a busy worker.

        `idle_poll_interval`: the same for an idle worker without a call of `poll_now`.
        """
        self._settings = settings
        self._queue = queue
        self._concurrency = concurrency
        self._on_wakeup = on_wakeup
        self._poll_interval = poll_interval
        self._idle_poll_interval = idle_poll_interval
        self._worker: Worker | None = None
        self._stopping = False
        self._poll_requested = asyncio.Event()
        self._busy_until = 0.0
        self.connected = False

    def poll_now(self) -> None:
        """Poll at once, because there may be wake-ups."""
        self._poll_requested.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen while the block runs."""
        task = asyncio.create_task(self._supervise(), name="arq-listener")
        try:
            yield
        finally:
            await cancel_and_wait([task])

    def stop(self) -> None:
        """Take no more wake-ups. They stay in Redis for other workers."""
        self._stopping = True
        if self._worker is not None:
            self._worker.allow_pick_jobs = False

    async def _supervise(self) -> None:
        # The import is slow: it runs in a thread so that it does not block the loop.
        await asyncio.to_thread(_import_arq)
        # arq warns of repeated and late wake-ups, which are harmless.
        logging.getLogger("arq").setLevel(logging.ERROR)
        pause, longest = _RESTART_DELAYS
        while True:
            started = time.monotonic()
            try:
                await self._listen()
            except Exception as error:
                if self.connected:
                    _log.warning("wakeup_listener_disconnected", error=type(error).__name__)
            finally:
                self.connected = False
            if time.monotonic() - started > longest:
                pause = _RESTART_DELAYS[0]
            await asyncio.sleep(pause)
            pause = min(longest, pause * 2)

    async def _listen(self) -> None:
        from arq.connections import ArqRedis
        from arq.worker import func

        async def ring(_: dict[Any, Any], *args: Any, **__: Any) -> None:
            # Cancelled at shutdown: the wake-up counts as processed, because arq would log an
            # error about a second try. Maintenance resends wake-ups.
            with contextlib.suppress(asyncio.CancelledError):
                await self._on_wakeup(UUID(args[0]))

        # Separate from the connections of requests, with the same bound.
        pool = ArqRedis(pool_or_conn=create_redis(self._settings).connection_pool)
        worker = _create_worker(
            self._mark_connected,
            self._wait_while_idle,
            functions=[
                # arq's Protocol requires a __qualname__, which every function has.
                func(ring, name=FUNCTION, timeout=_WAKEUP_TIMEOUT)  # type: ignore[arg-type]
            ],
            queue_name=queue_key(self._queue),
            redis_pool=pool,
            handle_signals=False,
            max_jobs=self._concurrency,
            max_tries=1,
            keep_result=0,
            poll_delay=self._poll_interval,
            job_serializer=encode_json,
            job_deserializer=json.loads,
            log_results=False,
        )
        worker.allow_pick_jobs = not self._stopping
        self._worker = worker
        try:
            await worker.main()
        finally:
            self._worker = None
            # These tasks only wait for jobs, which the runner owns.
            await cancel_and_wait(list(worker.tasks.values()))
            await pool.connection_pool.disconnect()

    def _mark_connected(self) -> None:
        if not self.connected:
            _log.info("wakeup_listener_connected", queue=self._queue)
        self.connected = True

    async def _wait_while_idle(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self._poll_requested.is_set() and now >= self._busy_until:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._idle_poll_interval):
                    await self._poll_requested.wait()
        if self._poll_requested.is_set():
            # While wake-ups keep arriving, arq polls for batches of them, which is cheaper.
            self._busy_until = now + _BUSY_PERIOD
            self._poll_requested.clear()


def _import_arq() -> None:
    import arq.connections
    import arq.worker  # noqa: F401 (loaded for later imports)


def _create_worker(
    on_poll: Callable[[], None], wait_while_idle: Callable[[], Awaitable[None]], **arguments: Any
) -> Worker:
    from arq.worker import Worker

    class PollingWorker(Worker):
        """arq's worker without its health key and cron, with hooks for each poll."""

        async def heart_beat(self) -> None:  # arq's last step of a poll
            on_poll()
            # With all slots taken, arq leaves wake-ups in Redis, and no hint announces those.
            if self.job_counter < self.max_jobs:
                await wait_while_idle()

    return PollingWorker(**arguments)
