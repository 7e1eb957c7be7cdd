"""One subscription of a process, fanned out to whoever listens here.

Owns the connection to Redis's pub/sub and its loss. What it carries are hints: a listener that
misses one must find out by itself, so nothing is kept and a listener has one bit of memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import structlog

from twelvefold.observability.outage_log import OutageLog
from twelvefold.settings import RedisSettings
from twelvefold.tasks import cancel_and_wait

from .redis_client import create_redis

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

_PING_AFTER = 15.0  # seconds without a message after which the connection is pinged
_RETRY = 1.0  # seconds before a lost connection is tried again
Callback = Callable[[str], None]
_log = structlog.get_logger(__name__)


class Subscriber:
    """Listens on the channels that somebody here asked for, and holds no connection otherwise."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._callbacks: dict[str, set[Callback]] = defaultdict(set)
        self._subscribed: set[str] = set()
        self._changed = asyncio.Event()

    @contextmanager
    def listen(self, channel: str, callback: Callback) -> Iterator[None]:
        """Calls back with each message on `channel`, and with an empty one once it is subscribed.

        The callback must neither block nor raise. After a lost connection it is told anew.
        """
        self._callbacks[channel].add(callback)
        if channel in self._subscribed:
            callback("")
        self._changed.set()
        try:
            yield
        finally:
            self._callbacks[channel].discard(callback)
            if not self._callbacks[channel]:
                del self._callbacks[channel]
            self._changed.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        redis = create_redis(self._settings)
        task = asyncio.create_task(self._run(redis), name="subscriber")
        try:
            yield
        finally:
            await cancel_and_wait([task])
            await redis.aclose()

    async def _run(self, redis: Redis) -> None:
        outage = OutageLog(_log)
        while True:
            while not self._callbacks:
                self._changed.clear()
                await self._changed.wait()
            pubsub = redis.pubsub()
            try:
                await self._listen(pubsub)
                outage.succeeded()
            except Exception as error:
                outage.failed("subscription_lost", error=type(error).__name__)
                await asyncio.sleep(_RETRY)
            finally:
                self._subscribed.clear()
                with contextlib.suppress(Exception):
                    await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis 5 has no types here

    async def _listen(self, pubsub: PubSub) -> None:
        """Until nobody listens here any more. Raises where the connection is lost.

        This task alone touches the connection; a read stays under way while it subscribes.
        """
        reading: asyncio.Task[None] | None = None
        changing: asyncio.Task[bool] | None = None
        try:
            while self._callbacks:
                self._changed.clear()
                await self._subscribe(pubsub)
                reading = reading or asyncio.create_task(self._read(pubsub))
                changing = asyncio.create_task(self._changed.wait())
                await asyncio.wait([reading, changing], return_when=asyncio.FIRST_COMPLETED)
                changing.cancel()
                if reading.done():
                    reading.result()
                    reading = None
        finally:
            await cancel_and_wait(task for task in (reading, changing) if task is not None)

    async def _subscribe(self, pubsub: PubSub) -> None:
        wanted = set(self._callbacks)
        if new := wanted - self._subscribed:
            await pubsub.subscribe(*new)
        # The last one is kept until the connection goes: reading without any is an error.
        if (old := self._subscribed - wanted) and wanted:
            await pubsub.unsubscribe(list(old))
            self._subscribed -= old

    async def _read(self, pubsub: PubSub) -> None:
        message = await pubsub.get_message(timeout=_PING_AFTER)
        if message is None:
            return
        channel = message["channel"].decode()
        if message["type"] == "subscribe":
            self._subscribed.add(channel)
            self._report(channel, "")
        elif message["type"] == "message":
            self._report(channel, message["data"].decode())

    def _report(self, channel: str, message: str) -> None:
        for callback in list(self._callbacks.get(channel, ())):
            callback(message)
