"""Wake-ups by arq: from processes that commit jobs to workers that run them.

The only module that knows arq. A ring holds an id, as JSON, and nothing depends on its arrival.
Producers write arq's two keys themselves: one round trip for a whole batch, and no import of arq
in their processes. Consumers run arq's own worker under supervision, because a lost Redis ends it.
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
_WAKEUP_LIFE = 3600  # seconds; the dispatcher rings again long before
_WAKEUP_TIMEOUT = 3600  # seconds that arq may wait for the job behind a ring; it never ends a job
_SKEW = 1000  # milliseconds by which a worker's clock may be behind a producer's
_BUSY = 1.0  # seconds after a ring in which others are likely
_RESTART_AFTER = (0.1, 2.0)  # seconds: the first pause before arq runs again, and the longest
_log = structlog.get_logger(__name__)


class _Withdrawal(NamedTuple):
    wakeup: Wakeup


class _Note(NamedTuple):
    channel: str
    message: str


def queue_key(queue: str) -> str:
    """The sorted set that arq polls for one of our queues."""
    return f"twelvefold:jobs:ring:{queue}"


def dumps(value: Any) -> bytes:
    # arq also serializes its own errors, only to throw them away.
    return json.dumps(value, separators=(",", ":"), default=str).encode()


class RedisWakeupPublisher:
    """Rings and hints of a process, handed over in the background. Dropped while Redis is away."""

    def __init__(self, settings: RedisSettings, *, capacity: int = 10_000) -> None:
        self._settings = settings
        self._redis: Redis | None = None
        self._sender: BufferedSender[Wakeup | _Withdrawal | _Note] = BufferedSender(
            self._send,
            name="wakeups",
            capacity=capacity,
            on_outcome=lambda outcome, count: metrics.jobs_wakeups.labels(outcome).inc(count),
        )
        metrics.register_pool("wakeups", capacity, lambda: len(self._sender))

    def wake(self, wakeup: Wakeup) -> None:
        """Wakes a worker for one job. Never blocks, never fails."""
        self._sender.put(wakeup)

    def withdraw(self, wakeup: Wakeup) -> None:
        """Takes a ring back that nobody needs any more; arq would take it up for nothing."""
        self._sender.put(_Withdrawal(wakeup))

    def publish(self, channel: str, message: str) -> None:
        """Tells whoever listens on `channel`. Never blocks, never fails."""
        self._sender.put(_Note(channel, message))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hands over while the block runs. What was put before waits for it."""
        self._redis = create_redis(self._settings)
        try:
            async with self._sender.running():
                yield
        finally:
            await self._redis.aclose()

    async def _send(self, batch: Sequence[Wakeup | _Withdrawal | _Note]) -> None:
        if self._redis is None:
            raise RuntimeError("the wake-up publisher is not running")
        now = int(time.time() * 1000)
        pipe = self._redis.pipeline(transaction=False)
        for item in batch:
            match item:
                case _Note(channel, message):
                    pipe.publish(channel, message)
                case _Withdrawal(ring):
                    pipe.zrem(queue_key(ring.queue), _wakeup_id(ring))
                    pipe.delete(JOB_KEY + _wakeup_id(ring))
                case Wakeup():
                    content = encode_wakeup(item.job_id, now)
                    pipe.set(JOB_KEY + _wakeup_id(item), content, nx=True, ex=_WAKEUP_LIFE)
                    pipe.zadd(queue_key(item.queue), {_wakeup_id(item): now - _SKEW}, nx=True)
        # Last, so that whoever wakes by it finds the whole batch.
        for queue in {item.queue for item in batch if isinstance(item, Wakeup)}:
            pipe.publish(wakeup_channel(queue), "")
        await pipe.execute()


def _wakeup_id(ring: Wakeup) -> str:
    return f"{ring.job_id}:{ring.claim_no}"


def encode_wakeup(job_id: UUID, now_ms: int) -> bytes:
    """A ring as arq's worker reads it (arq.jobs.serialize_job; a test holds us to it)."""
    return dumps({"t": None, "f": FUNCTION, "a": [str(job_id)], "k": {}, "et": now_ms})


class ArqListener:
    """Runs arq's worker, which awaits `on_wakeup` for each ring; at most `concurrency` at a time.

    arq polls. After a second without a wake-up it waits between two polls until `poll_now`, since
    fifty polls a second for nothing cost a fifth of a core behind a proxy of the mesh.

    A lost Redis ends arq's worker: it is started again, with a growing pause, for as long as the
    block of `running` lasts. What `on_wakeup` has begun is nobody's but the callee's: it goes on.
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
        """`poll_interval`: seconds between two polls of a busy worker. `idle_poll_interval`: of an idle one, unless it
        is woken.
        """
        self._settings = settings
        self._queue = queue
        self._concurrency = concurrency
        self._on_wakeup = on_wakeup
        self._poll_interval = poll_interval
        self._idle_poll_interval = idle_poll_interval
        self._worker: Worker | None = None
        self._stopping = False
        self._awake = asyncio.Event()
        self._busy_until = 0.0
        self.connected = False

    def poll_now(self) -> None:
        """There may be rings: an idle worker polls at once."""
        self._awake.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._supervise(), name="arq-listener")
        try:
            yield
        finally:
            await cancel_and_wait([task])

    def stop(self) -> None:
        """Takes no further ring; they stay in Redis for other workers."""
        self._stopping = True
        if self._worker is not None:
            self._worker.allow_pick_jobs = False

    async def _supervise(self) -> None:
        # Slow to import: in a thread, so that the loop goes on meanwhile.
        await asyncio.to_thread(_import_arq)
        # It warns of rings that came twice or late: nothing that anybody has to know.
        logging.getLogger("arq").setLevel(logging.ERROR)
        pause, longest = _RESTART_AFTER
        while True:
            began = time.monotonic()
            try:
                await self._listen()
            except Exception as error:
                if self.connected:
                    _log.warning("wakeup_listener_disconnected", error=type(error).__name__)
            finally:
                self.connected = False
            if time.monotonic() - began > longest:
                pause = _RESTART_AFTER[0]
            await asyncio.sleep(pause)
            pause = min(longest, pause * 2)

    async def _listen(self) -> None:
        from arq.connections import ArqRedis
        from arq.worker import func

        async def ring(_: dict[Any, Any], *args: Any, **__: Any) -> None:
            # Cancelled at the end of this process: the ring is spent all the same, since arq
            # would only complain about a second try. The dispatchers ring again.
            with contextlib.suppress(asyncio.CancelledError):
                await self._on_wakeup(UUID(args[0]))

        # The connections are separate from the requests' and bounded like theirs.
        pool = ArqRedis(pool_or_conn=create_redis(self._settings).connection_pool)
        worker = _create_worker(
            self._polled,
            self._idle_poll,
            functions=[
                # arq's protocol asks for a __qualname__, which every function has.
                func(ring, name=FUNCTION, timeout=_WAKEUP_TIMEOUT)  # type: ignore[arg-type]
            ],
            queue_name=queue_key(self._queue),
            redis_pool=pool,
            handle_signals=False,
            max_jobs=self._concurrency,
            max_tries=1,
            keep_result=0,
            poll_delay=self._poll_interval,
            job_serializer=dumps,
            job_deserializer=json.loads,
            log_results=False,
        )
        worker.allow_pick_jobs = not self._stopping
        self._worker = worker
        try:
            await worker.main()
        finally:
            self._worker = None
            # They only wait for jobs, which are not theirs.
            await cancel_and_wait(list(worker.tasks.values()))
            await pool.connection_pool.disconnect()

    def _polled(self) -> None:
        if not self.connected:
            _log.info("wakeup_listener_connected", queue=self._queue)
        self.connected = True

    async def _idle_poll(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self._awake.is_set() and now >= self._busy_until:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._idle_poll_interval):
                    await self._awake.wait()
        if self._awake.is_set():
            # While rings keep coming they are polled for by batches, which is cheaper.
            self._busy_until = now + _BUSY
            self._awake.clear()


def _import_arq() -> None:
    import arq.connections
    import arq.worker  # noqa: F401 (imported for later)


def _create_worker(
    polled: Callable[[], None], idle_poll: Callable[[], Awaitable[None]], **arguments: Any
) -> Worker:
    from arq.worker import Worker

    class QuietWorker(Worker):
        """Without arq's health key and cron. Reports each poll that Redis answered, and waits while idle."""

        async def heart_beat(self) -> None:  # arq's last step of a poll
            polled()
            # With all its hands full it has left rings where they are, and nobody tells of those.
            if self.job_counter < self.max_jobs:
                await idle_poll()

    return QuietWorker(**arguments)
