"""A job's changes as server-sent events (html.spec.whatwg.org, section 9.2).

Owns the form of the stream and when it ends: with the job, with the token, with the process. The
id of an event is the version of the row, so that a client who comes back misses nothing.
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

HEARTBEAT = 15.0  # seconds; proxies commonly end what is silent for 60
MEDIA_TYPE = "text/event-stream"
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_RETRY = b"retry: 2000\n\n"  # milliseconds until a client comes back
_ALIVE = b": alive\n\n"

StillValid = Callable[[], Awaitable[bool]]


class EventStreams:
    """The open streams of this process, at most `most` of them; `places` says who may open one."""

    def __init__(self, *, most: int, heartbeat: float = HEARTBEAT) -> None:
        self.places = StreamPlaces(most)
        self._heartbeat = heartbeat
        self._draining = asyncio.Event()

    async def drain(self) -> None:
        """Ends every stream in order; clients come back to another process."""
        self._draining.set()

    async def stream(
        self,
        changes: AsyncGenerator[JobRecord],
        principal: Principal,
        *,
        after: int | None,
        still_valid: StillValid,
    ) -> AsyncGenerator[bytes]:
        """Events of what comes after version `after`, a comment while idle, and why it ends."""
        reader = _Reader(changes, self._draining, self._heartbeat)
        # Closed in this order: a generator cannot be closed while somebody waits for it.
        async with (
            aclosing(changes),
            aclosing(reader.frames(principal.expires_at, after, still_valid)) as frames,
        ):
            yield _RETRY
            async for frame in frames:
                yield frame


class EventStreamResponse(StreamingResponse):
    """Holds a place for exactly as long as it is sent; one that is refused raises before it begins.

    `place` holds one, as `StreamPlaces.hold` does.
    """

    def __init__(self, frames: AsyncGenerator[bytes], place: AbstractContextManager[None]) -> None:
        super().__init__(frames, 200, STREAM_HEADERS, MEDIA_TYPE)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)


def head_response() -> Response:
    """The headers of a stream alone (RFC 9110 section 9.3.2): no length, since it has none."""
    response = Response(None, 200, STREAM_HEADERS, MEDIA_TYPE)
    del response.headers["content-length"]
    return response


class _Reader:
    """Waits for whatever comes first: a change, the idle time, the token's end, the process's end."""

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
            await _cancelled(change, drained)

    def _next(self) -> asyncio.Task[JobRecord | None]:
        async def following() -> JobRecord | None:
            """None where the row is gone: pruned, or erased with its owner's account."""
            try:
                return await anext(self._changes, None)
            except NotFound:
                return None

        return asyncio.create_task(following())


async def _cancelled(*tasks: asyncio.Task[JobRecord | None] | asyncio.Task[bool]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, Exception):
            await task


def _event(name: str, job: JobRecord) -> bytes:
    body = Job.of(job).model_dump_json()
    return f"id: {job.version}\nevent: {name}\ndata: {body}\n\n".encode()


def _end(reason: str, job: JobRecord | None = None) -> bytes:
    """The last event says why, so that a client knows whether to come back."""
    members = {"reason": reason} if job is None else {"reason": reason, "status": job.status.value}
    return f"event: end\ndata: {json.dumps(members)}\n\n".encode()


def last_version(header: str | None) -> int | None:
    """The version that Last-Event-ID names; None for anything that is no id of ours."""
    return int(header) if header and header.isdecimal() and len(header) < 19 else None  # noqa: PLR2004 (of a 64-bit number)
