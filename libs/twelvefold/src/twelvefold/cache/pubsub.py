"""One Redis pub/sub connection of a process, shared by all of its listeners.

Owns that connection and its reconnection. Messages are hints: they may be lost, so a listener must
also poll, and nothing is kept for listeners that join later.
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

_READ_TIMEOUT = 15.0  # seconds without a message after which the connection is pinged
_RECONNECT_PAUSE = 1.0  # seconds
Callback = Callable[[str], None]
_log = structlog.get_logger(__name__)


class Subscriber:
    """Subscribes to the channels that have listeners; without any it holds no connection."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._callbacks: dict[str, set[Callback]] = defaultdict(set)
        self._subscribed: set[str] = set()
        self._changed = asyncio.Event()

    @contextmanager
    def listen(self, channel: str, callback: Callback) -> Iterator[None]:
        """Call `callback` with each message on `channel`, and with "" after each subscription.

        The callback must neither block nor raise. A lost connection is subscribed again.
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
                await asyncio.sleep(_RECONNECT_PAUSE)
            finally:
                self._subscribed.clear()
                with contextlib.suppress(Exception):
                    await pubsub.aclose()  # type: ignore[no-untyped-call]  # untyped in redis 5

    async def _listen(self, pubsub: PubSub) -> None:
        """Read until no listener is left. Raises where the connection is lost.

        Only this task uses the connection; a read stays in progress while it subscribes.
        """
        reading: asyncio.Task[None] | None = None
        changing: asyncio.Task[bool] | None = None
        try:
            while self._callbacks:
                if changing is None:
                    self._changed.clear()
                    await self._subscribe(pubsub)
                    changing = asyncio.create_task(self._changed.wait())
                reading = reading or asyncio.create_task(self._read(pubsub))
                await asyncio.wait([reading, changing], return_when=asyncio.FIRST_COMPLETED)
                if changing.done():
                    changing = None
                if reading.done():
                    reading.result()
                    reading = None
        finally:
            await cancel_and_wait(task for task in (reading, changing) if task is not None)

    async def _subscribe(self, pubsub: PubSub) -> None:
        wanted = set(self._callbacks)
        if new := wanted - self._subscribed:
            await pubsub.subscribe(*new)
        # The last channel stays subscribed: reading without any is an error.
        if (old := self._subscribed - wanted) and wanted:
            await pubsub.unsubscribe(list(old))
            self._subscribed -= old

    async def _read(self, pubsub: PubSub) -> None:
        message = await pubsub.get_message(timeout=_READ_TIMEOUT)
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
