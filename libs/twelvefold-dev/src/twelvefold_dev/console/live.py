"""Tells open pages what has changed, by server-sent events; they ask for it themselves.

An event is the name of a topic and no more: a page that missed some is right again after one
question, and nothing is kept for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.types import Receive, Scope, Send

from .problem import problem

MOST = 32  # open pages
_PAUSE = 0.2  # seconds between two events of one page
_HEARTBEAT = 15.0
_HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]


class EventBroadcaster:
    """The open pages of this process."""

    def __init__(self) -> None:
        self._pages: set[_Page] = set()
        self._came = asyncio.Event()
        self._ending = asyncio.Event()

    @property
    def watched(self) -> bool:
        """Whether anybody looks."""
        return bool(self._pages)

    def changed(self, topic: str) -> None:
        for page in self._pages:
            page.report(topic)

    def end(self) -> None:
        """Ends every stream, so that the process can."""
        self._ending.set()
        for page in self._pages:
            page.fresh.set()

    async def someone(self, within: float) -> None:
        """Returns when a page was opened, or after so many seconds."""
        self._came.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._came.wait(), within)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self._pages) >= MOST:
            await problem(503, "too many pages are open")(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        async with self._page() as page, _until_gone(receive, page):
            await self._write(page, send)
        await send({"type": "http.response.body", "body": b""})

    async def _write(self, page: _Page, send: Send) -> None:
        body = b"retry: 1000\n\n"
        while True:
            await send({"type": "http.response.body", "body": body, "more_body": True})
            with suppress(TimeoutError):
                await asyncio.wait_for(page.fresh.wait(), _HEARTBEAT)
            if page.gone or self._ending.is_set():
                return
            body = page.take() or b": alive\n\n"
            await asyncio.sleep(_PAUSE)

    @asynccontextmanager
    async def _page(self) -> AsyncIterator[_Page]:
        page = _Page()
        self._pages.add(page)
        self._came.set()
        try:
            yield page
        finally:
            self._pages.discard(page)


class _Page:
    def __init__(self) -> None:
        self.fresh = asyncio.Event()
        self.gone = False
        self._topics: dict[str, None] = {}

    def report(self, topic: str) -> None:
        self._topics[topic] = None
        self.fresh.set()

    def take(self) -> bytes:
        topics, self._topics = self._topics, {}
        self.fresh.clear()
        return f"data: {' '.join(topics)}\n\n".encode() if topics else b""


@asynccontextmanager
async def _until_gone(receive: Receive, page: _Page) -> AsyncIterator[None]:
    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        page.gone = True
        page.fresh.set()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
