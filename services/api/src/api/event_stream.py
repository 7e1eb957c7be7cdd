"""A job's changes as server-sent events (html.spec.whatwg.org, section 9.2).

Owns the format of the stream and its end: with the job, the token or the process. The id of an
event is the version of the row, so that a client which reconnects misses no event.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing, suppress

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from twelvefold.errors import NotFound
from twelvefold.jobs import JobRecord
from twelvefold.security.principals import Principal

from .schemas import Job
from .stream_places import StreamPlaces

HEARTBEAT = 15.0  # seconds; proxies commonly close a connection after 60 idle seconds
MEDIA_TYPE = "text/event-stream"
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_RETRY = b"retry: 2000\n\n"  # milliseconds until a client reconnects
_ALIVE = b": alive\n\n"
_MAX_VERSION_DIGITS = 18  # any such number fits into 64 bits

StillValid = Callable[[], Awaitable[bool]]


class EventStreams:
    """The open streams of this process, at most `max_streams`; `places` shares them out."""

    def __init__(self, *, max_streams: int, heartbeat: float = HEARTBEAT) -> None:
        self.places = StreamPlaces(max_streams)
        self._heartbeat = heartbeat
        self._draining = asyncio.Event()

    async def drain(self) -> None:
        """End every stream with an event; clients reconnect to another process."""
        self._draining.set()

    async def stream(
        self,
        changes: AsyncGenerator[JobRecord],
        principal: Principal,
        *,
        after: int | None,
        still_valid: StillValid,
    ) -> AsyncGenerator[bytes]:
        """Yield the events after version `after`, comments while idle, and the end's reason."""
        reader = _Reader(changes, self._draining, self._heartbeat)
        # The order matters: a generator cannot be closed while a task awaits it.
        async with (
            aclosing(changes),
            aclosing(reader.frames(principal.expires_at, after, still_valid)) as frames,
        ):
            yield _RETRY
            async for frame in frames:
                yield frame


class EventStreamResponse(StreamingResponse):
    """Holds a place while it is sent; raises before the first byte where it gets none.

    `place` is what `StreamPlaces.hold` returns.
    """

    def __init__(self, frames: AsyncGenerator[bytes], place: AbstractContextManager[None]) -> None:
        super().__init__(frames, 200, STREAM_HEADERS, MEDIA_TYPE)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)


def head_response() -> Response:
    """Return only the headers of a stream (RFC 9110 section 9.3.2), which has no length."""
    response = Response(None, 200, STREAM_HEADERS, MEDIA_TYPE)
    del response.headers["content-length"]
    return response


class _Reader:
    """Waits for the first of: a change, the idle time, the end of the token or the process."""

    def __init__(
        self, changes: AsyncIterator[JobRecord], draining: asyncio.Event, heartbeat: float
    ) -> None:
        self._changes = changes
        self._draining = draining
        self._heartbeat = heartbeat

    async def frames(
        self, expires_at: float, after: int | None, still_valid: StillValid
    ) -> AsyncGenerator[bytes]:
        status: str | None = None
        drained = asyncio.create_task(self._draining.wait())
        change = self._next()
        try:
            while True:
                wait = min(self._heartbeat, expires_at - time.time())
                if wait <= 0:
                    yield _end("token_expired")
                    return
                done, _ = await asyncio.wait(
                    (change, drained), timeout=wait, return_when=asyncio.FIRST_COMPLETED
                )
                if change in done:
                    job = change.result()
                    if job is None:
                        yield _end("gone")
                        return
                    if after is None or job.version > after:
                        yield _event("progress" if job.status == status else "state", job)
                    if job.status.is_terminal:
                        yield _end("finished", job)
                        return
                    status = job.status
                    change = self._next()
                elif drained in done:
                    yield _end("draining")
                    return
                elif await still_valid():
                    yield _ALIVE
                else:
                    yield _end("token_revoked")
                    return
        finally:
            await _cancel(change, drained)

    def _next(self) -> asyncio.Task[JobRecord | None]:
        async def next_change() -> JobRecord | None:
            """Return None where the row was pruned, or erased with its owner's account."""
            try:
                return await anext(self._changes, None)
            except NotFound:
                return None

        return asyncio.create_task(next_change())


async def _cancel(*tasks: asyncio.Task[JobRecord | None] | asyncio.Task[bool]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, Exception):
            await task


def _event(name: str, job: JobRecord) -> bytes:
    body = Job.of(job).model_dump_json()
    return f"id: {job.version}\nevent: {name}\ndata: {body}\n\n".encode()


def _end(reason: str, job: JobRecord | None = None) -> bytes:
    """Return the last event, whose reason lets a client decide whether to reconnect."""
    members = {"reason": reason} if job is None else {"reason": reason, "status": job.status.value}
    return f"event: end\ndata: {json.dumps(members)}\n\n".encode()


def last_version(header: str | None) -> int | None:
    """Return the version in Last-Event-ID; None for any other value."""
    if header and header.isdecimal() and len(header) <= _MAX_VERSION_DIGITS:
        return int(header)
    return None
