"""Wake-ups over arq, from the producers of jobs to the workers.

The only module that knows arq. A wake-up is an id as JSON, and nothing depends on its arrival.
Producers write arq's two keys themselves: one round trip and one wake-up for a whole batch of jobs,
and no import of arq in their processes. A message announces the wake-up, and the first idle worker
takes it from arq's queue. A wake-up that no worker takes, because all are busy or the message was
lost, stays there for arq's own worker. Workers run that under supervision, because it ends when
Redis is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import structlog
from redis.exceptions import RedisError

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
MAX_PENDING = 16  # wake-ups of one queue that no worker took; older ones are dropped
_WAKEUP_TTL = 60  # seconds; maintenance resends wake-ups earlier
_WAKEUP_TIMEOUT = 5  # seconds; a wake-up takes no time, since it does not wait for its job
_CLOCK_SKEW = 1000  # milliseconds by which a worker's clock may be behind a producer's
_RESTART_DELAYS = (0.1, 2.0)  # seconds: the first and the longest pause before arq restarts
# One command for many messages: a worker publishes each change of each job.
_PUBLISH_ALL = "for i = 1, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end"
_log = structlog.get_logger(__name__)


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
        self._sender: BufferedSender[Wakeup | _Publication] = BufferedSender(
            self._send,
            name="wakeups",
            capacity=capacity,
            on_outcome=lambda outcome, count: metrics.jobs_wakeups.labels(outcome).inc(count),
        )
        metrics.register_pool("wakeups", capacity, lambda: len(self._sender))

    def wake(self, wakeup: Wakeup) -> None:
        """Wake a worker for one job. Never blocks or fails."""
        self._sender.put(wakeup)

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

    async def _send(self, batch: Sequence[Wakeup | _Publication]) -> None:
        if self._redis is None:
            raise RuntimeError("the wake-up publisher is not running")
        now = int(time.time() * 1000)
        pipe = self._redis.pipeline(transaction=False)
        # A claim takes any due job of the queue: one wake-up for each queue is enough.
        wakeups = {item.queue: item for item in reversed(batch) if isinstance(item, Wakeup)}
        messages = [item for item in batch if isinstance(item, _Publication)]
        if messages:
            pipe.eval(_PUBLISH_ALL, 0, *itertools.chain.from_iterable(messages))
        for queue, wakeup in wakeups.items():
            wakeup_id = _wakeup_id(wakeup)
            content = encode_wakeup(wakeup.job_id, now)
            pipe.set(JOB_KEY + wakeup_id, content, nx=True, ex=_WAKEUP_TTL)
            pipe.zadd(queue_key(queue), {wakeup_id: now - _CLOCK_SKEW}, nx=True)
            pipe.zremrangebyrank(queue_key(queue), 0, -MAX_PENDING - 1)
            # Last, so that a worker that receives it can take the wake-up.
            pipe.publish(wakeup_channel(queue), wakeup_id)
        await pipe.execute()


def _wakeup_id(wakeup: Wakeup) -> str:
    return f"{wakeup.job_id}:{wakeup.claim_no}"


def encode_wakeup(job_id: UUID, now_ms: int) -> bytes:
    """Return a wake-up in the format of `arq.jobs.serialize_job`."""
    return encode_json({"t": None, "f": FUNCTION, "a": [str(job_id)], "k": {}, "et": now_ms})


class ArqListener:
    """Take wake-ups of one queue: those that a message announces at once, others by polls of arq.

    Takes none while `accepts` returns False, so that other workers can take them. arq's worker ends
    when Redis is lost. It is restarted with a growing pause while the block of `running` runs.
    """

    def __init__(
        self,
        settings: RedisSettings,
        *,
        queue: str,
        on_wakeup: Callable[[], None],
        accepts: Callable[[], bool] = lambda: True,
        poll_interval: float = 0.02,
        idle_poll_interval: float = 0.25,
    ) -> None:
        """`on_wakeup` is called for each wake-up that was taken. It neither blocks nor raises.

        `poll_interval`: seconds, at least, between two polls of arq. `idle_poll_interval`: the same
        without an announcement.
        """
        self._settings = settings
        self._queue = queue
        self._on_wakeup = on_wakeup
        self._accepts = accepts
        self._poll_interval = poll_interval
        self._idle_poll_interval = idle_poll_interval
        self._worker: Worker | None = None
        self._stopping = False
        self._poll_requested = asyncio.Event()
        self._announced: set[str] = set()
        self._has_announced = asyncio.Event()
        self.connected = False

    def announce(self, message: str) -> None:
        """Take the wake-up whose id a message holds, or poll if it holds none."""
        if self._stopping or not self._accepts():
            return
        if not message:
            self._poll_requested.set()
        elif len(self._announced) < MAX_PENDING:
            self._announced.add(message)
            self._has_announced.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen while the block runs."""
        redis = create_redis(self._settings)
        tasks = [
            asyncio.create_task(self._supervise(), name="arq-listener"),
            asyncio.create_task(self._take_announced(redis), name="wakeup-taker"),
        ]
        try:
            yield
        finally:
            await cancel_and_wait(tasks)
            await redis.aclose()

    def stop(self) -> None:
        """Take no more wake-ups. They stay in Redis for other workers."""
        self._stopping = True
        if self._worker is not None:
            self._worker.allow_pick_jobs = False

    async def _take_announced(self, redis: Redis) -> None:
        while True:
            await self._has_announced.wait()
            self._has_announced.clear()
            announced, self._announced = sorted(self._announced), set()
            # An error is an outage, which the polls report. The wake-ups stay in Redis.
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                pipe = redis.pipeline(transaction=False)
                # Only one worker removes the entry, and that one claims.
                pipe.zrem(queue_key(self._queue), *announced)
                pipe.delete(*(JOB_KEY + wakeup_id for wakeup_id in announced))
                removed, _ = await pipe.execute()
                if removed:
                    self._on_wakeup()

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

        async def ring(*_: Any, **__: Any) -> None:
            self._on_wakeup()

        # Separate from the connections of requests, with the same bound.
        pool = ArqRedis(pool_or_conn=create_redis(self._settings).connection_pool)
        worker = _create_worker(
            self._mark_connected,
            self._prepare_poll,
            functions=[func(ring, name=FUNCTION, timeout=_WAKEUP_TIMEOUT)],
            queue_name=queue_key(self._queue),
            redis_pool=pool,
            handle_signals=False,
            max_jobs=MAX_PENDING,
            max_tries=1,
            keep_result=0,
            poll_delay=self._poll_interval,
            job_serializer=encode_json,
            job_deserializer=json.loads,
            log_results=False,
        )
        worker.allow_pick_jobs = not self._stopping and self._accepts()
        self._worker = worker
        try:
            await worker.main()
        finally:
            self._worker = None
            await cancel_and_wait(list(worker.tasks.values()))
            await pool.connection_pool.disconnect()

    def _mark_connected(self) -> None:
        if not self.connected:
            _log.info("wakeup_listener_connected", queue=self._queue)
        self.connected = True

    async def _prepare_poll(self, worker: Worker) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._idle_poll_interval):
                await self._poll_requested.wait()
        self._poll_requested.clear()
        worker.allow_pick_jobs = not self._stopping and self._accepts()


def _import_arq() -> None:
    import arq.connections
    import arq.worker  # noqa: F401 (loaded for later imports)


def _create_worker(
    on_poll: Callable[[], None], prepare_poll: Callable[[Worker], Awaitable[None]], **arguments: Any
) -> Worker:
    from arq.worker import Worker

    class PollingWorker(Worker):
        """arq's worker without its health key and cron, with hooks for each poll."""

        async def heart_beat(self) -> None:  # arq's last step of a poll
            on_poll()
            await prepare_poll(self)

    return PollingWorker(**arguments)
