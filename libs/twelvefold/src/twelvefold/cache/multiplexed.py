"""One Redis connection that all short commands of a process share.

Commands are written as they come, and Redis replies in their order, so that concurrent calls need
neither a pool nor a task per reply. Owns that connection, its reconnection and its bounds. Commands
that block the connection (pub/sub, BLPOP, WAIT) need one of their own: see `redis_client`.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Any, Self, cast

import hiredis
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import SpanKind
from redis import exceptions
from redis.asyncio.connection import Connection, SSLConnection, parse_url

from twelvefold.observability import metrics, spans
from twelvefold.observability.loop_lag import LagWatch
from twelvefold.resilience.redis_calls import Argument
from twelvefold.settings import RedisSettings
from twelvefold.tasks import cancel_and_wait

MAX_PENDING = 1000  # commands that wait for their reply or for the connection
MAX_UNSENT_BYTES = 1 << 20  # beyond which no further command is accepted
MAX_STALLED_ATTEMPTS = 8  # to connect, one after another, while the event loop is stalled
POOL = "redis_pending"
_SPAN_ATTRIBUTES = {"db.system.name": "redis"}
# Redis's error codes whose meaning callers distinguish; any other is a plain ResponseError.
_ERRORS: dict[str, type[exceptions.RedisError]] = {
    "LOADING": exceptions.BusyLoadingError,
    "NOAUTH": exceptions.AuthenticationError,
    "NOPERM": exceptions.NoPermissionError,
    "NOSCRIPT": exceptions.NoScriptError,
    "OOM": exceptions.OutOfMemoryError,
    "READONLY": exceptions.ReadOnlyError,
    "WRONGPASS": exceptions.AuthenticationError,
}


class MultiplexedRedis:
    """A client over one connection, which the first command opens; replies are bytes.

    `timeout` (seconds) bounds the connecting and the wait for each reply. A Redis that exceeds it
    loses the connection, and every command that waits on it fails; the next command opens a new
    one. A cancelled caller keeps its place in the queue of replies, so that its late reply reaches
    no other caller. No command is sent twice, because not all are idempotent.
    """

    def __init__(self, url: str, *, timeout: float, max_pending: int = MAX_PENDING) -> None:
        """Take every option of `url` that redis-py's client takes."""
        options: dict[str, Any] = {**parse_url(url)}
        kind = options.pop("connection_class", Connection)
        # Not for connecting: it gives the options their meaning and defaults.
        self._options: Connection = kind(**options)
        self._timeout = timeout
        self._max_pending = max_pending
        self._link: _Link | None = None
        self._opening: asyncio.Task[_Link] | None = None
        self._waiting = 0  # callers that wait for the connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def pending(self) -> int:
        """The number of commands that wait for a reply or for the connection."""
        return self._waiting + (len(self._link.pending) if self._link else 0)

    def execute(self, *command: Argument) -> Awaitable[Any]:
        """Send a command and return its reply: bytes, int, None or a list of these.

        Raises redis-py's ConnectionError (lost, refused, or too many commands are pending),
        TimeoutError, and ResponseError where Redis refuses the command.
        """
        if spans.is_recording() and is_instrumentation_enabled():
            return self._execute_traced(command)
        link = self._link
        if link is not None and link.accepts and len(link.pending) < self._max_pending:
            return link.send(command)
        return self._execute_connected(command)

    async def _execute_traced(self, command: tuple[Argument, ...]) -> Any:
        # The command's name only: keys hold ids, and values may hold secrets.
        with spans.span(str(command[0]), _SPAN_ATTRIBUTES, kind=SpanKind.CLIENT):
            return await self._execute_connected(command)

    async def _execute_connected(self, command: tuple[Argument, ...]) -> Any:
        link = self._link
        if self.pending >= self._max_pending or (link and link.usable and not link.accepts):
            metrics.pool_exhausted.labels(POOL).inc()
            raise exceptions.ConnectionError("too many commands wait for Redis")
        if link is None or not link.usable:
            self._waiting += 1
            try:
                link = await self._connect()
            finally:
                self._waiting -= 1
        return await link.send(command)

    async def ping(self) -> None:
        """Raise redis-py's ConnectionError or TimeoutError where Redis does not respond."""
        await self.execute("PING")

    def script(self, source: str) -> RedisScript:
        """Return the Lua script, which Redis loads at its first call."""
        return RedisScript(self, source)

    async def aclose(self) -> None:
        """Close the connection; commands in flight fail. The next command would open it again."""
        if self._opening is not None:
            await cancel_and_wait([self._opening])
        if self._link is not None:
            self._link.close(exceptions.ConnectionError("the client was closed"))

    async def _connect(self) -> _Link:
        """Return the connection. Concurrent callers share one attempt, which none of them ends."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open(), name="redis-connect")
            self._opening.add_done_callback(_retrieve_exception)
        try:
            return await asyncio.shield(self._opening)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if self._opening.cancelled() and caller and not caller.cancelling():
                raise exceptions.ConnectionError("the client was closed") from None
            raise

    async def _open(self) -> _Link:
        """Connect. Repeat an attempt that took too long because the event loop was stalled.

        Its failure says nothing about Redis, and callers may share it that came after the stall.
        """
        for _ in range(MAX_STALLED_ATTEMPTS - 1):
            with LagWatch() as watch:
                try:
                    return await self._open_once()
                except exceptions.TimeoutError:
                    if not watch.excuses(self._timeout):
                        raise
        return await self._open_once()

    async def _open_once(self) -> _Link:
        options = self._options
        context = options.ssl_context.get() if isinstance(options, SSLConnection) else None
        link = _Link(self._timeout)
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.get_running_loop().create_connection(
                    lambda: link, options.host, int(options.port), ssl=context
                )
                # One write and one round trip, since they are sent before any reply is awaited.
                for reply in [link.send(command) for command in self._greeting()]:
                    await reply
        except BaseException as error:
            link.close(exceptions.ConnectionError("connecting was given up"))
            if isinstance(error, TimeoutError):
                raise exceptions.TimeoutError("Redis did not accept in time") from error
            if isinstance(error, (OSError, ssl.SSLError)):
                raise exceptions.ConnectionError(str(error)) from error
            raise
        self._link = link
        return link

    def _greeting(self) -> list[tuple[Argument, ...]]:
        """Return the commands that a new connection begins with."""
        options, commands = self._options, list[tuple[Argument, ...]]()
        if options.username:
            commands.append(("AUTH", options.username, options.password or ""))
        elif options.password:
            commands.append(("AUTH", options.password))
        if options.client_name:
            commands.append(("CLIENT", "SETNAME", options.client_name))
        if int(options.db):
            commands.append(("SELECT", int(options.db)))
        return commands


class RedisScript:
    """A Lua script that Redis knows by its digest and gets again where it does not know it."""

    def __init__(self, redis: MultiplexedRedis, source: str) -> None:
        self._redis = redis
        self._source = source
        self._digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Any:
        """Return the script's result. Raises as `MultiplexedRedis.execute`."""
        call = (len(keys), *keys, *arguments)
        try:
            return await self._redis.execute("EVALSHA", self._digest, *call)
        except exceptions.NoScriptError:  # after a restart of Redis: it has not run
            return await self._redis.execute("EVAL", self._source, *call)


class _Link(asyncio.Protocol):
    """One connection and its queue of commands that wait for a reply, the oldest first."""

    def __init__(self, timeout: float) -> None:
        self.pending: deque[tuple[asyncio.Future[Any], float]] = deque()
        self.usable = False  # connected, as far as is known
        self.accepts = False  # usable, and Redis reads what is written
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._parser = hiredis.Reader(replyError=_create_error)
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None

    def send(self, command: tuple[Argument, ...]) -> asyncio.Future[Any]:
        """Write the command, and return the future of its reply."""
        reply = self._loop.create_future()
        if not self.usable:  # lost since the caller got this link
            reply.set_exception(exceptions.ConnectionError("Redis closed the connection"))
            return reply
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub says one argument
        now = self._loop.time()
        self.pending.append((reply, now))
        if self._timer is None:
            self._schedule(now + self._timeout)
        self._transport.write(packed)
        return reply

    def close(self, error: exceptions.RedisError) -> None:
        """Cut the connection; each pending command fails with an error like this one."""
        self.usable = self.accepts = False
        if hasattr(self, "_transport"):
            self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        pending, self.pending = self.pending, deque()
        for reply, _ in pending:
            if not reply.done():
                reply.set_exception(type(error)(*error.args))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if raw := transport.get_extra_info("socket"):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        self.usable = self.accepts = True

    def data_received(self, data: bytes) -> None:
        parser, pending = self._parser, self.pending
        try:
            parser.feed(data)
            # False is no reply of RESP2: there is no complete one left.
            while (value := parser.gets()) is not False:
                reply, _ = pending.popleft()
                if reply.done():  # its caller was cancelled
                    continue
                if isinstance(value, exceptions.RedisError):
                    reply.set_exception(value)
                else:
                    reply.set_result(value)
        except (hiredis.HiredisError, IndexError):  # malformed, or a reply without a command
            self.close(exceptions.ConnectionError("Redis sent a malformed reply"))

    def pause_writing(self) -> None:
        self.accepts = False

    def resume_writing(self) -> None:
        self.accepts = self.usable

    def eof_received(self) -> None:
        self.usable = self.accepts = False  # the transport closes itself

    def connection_lost(self, error: Exception | None) -> None:
        self.close(exceptions.ConnectionError("Redis closed the connection"))

    def _schedule(self, due: float) -> None:
        self._timer = self._loop.call_at(due, self._check_oldest, due)

    def _check_oldest(self, due: float) -> None:
        """Cut the connection where the oldest command has waited for `timeout` seconds."""
        self._timer = None
        if not self.pending:
            return
        now = self._loop.time()
        expiry = self.pending[0][1] + self._timeout
        if now < expiry:
            self._schedule(expiry)
        elif now - due > self._timeout / 2:
            # The event loop was stalled: the replies may have arrived and are not read yet.
            self._schedule(now + self._timeout)
        else:
            self.close(exceptions.TimeoutError("Redis did not reply in time"))


def create_multiplexed_redis(settings: RedisSettings) -> MultiplexedRedis:
    """Return the client of the settings' Redis, whose timeout is `redis_timeout`."""
    client = MultiplexedRedis(settings.redis_url.get_secret_value(), timeout=settings.redis_timeout)
    metrics.register_pool(POOL, MAX_PENDING, lambda: client.pending)
    return client


def _create_error(message: str) -> exceptions.RedisError:
    code = message.partition(" ")[0]
    return _ERRORS.get(code, exceptions.ResponseError)(message)


def _retrieve_exception(opening: asyncio.Task[_Link]) -> None:
    """Mark the failure as seen, also where every caller was cancelled."""
    if not opening.cancelled():
        opening.exception()
