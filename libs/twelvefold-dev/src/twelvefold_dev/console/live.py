"""Server-sent events that notify open pages of changes.

An event contains only the names of changed topics, and the page then reads the data. A page that
missed events is up to date after one read, so no events are stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.types import Receive, Scope, Send

from .problem import problem

MAX_PAGES = 32  # open at the same time
_MIN_EVENT_INTERVAL = 0.2  # seconds between two events of one page
_KEEPALIVE_INTERVAL = 15.0  # seconds
_HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]


class EventBroadcaster:
    """The open pages of this process."""

    def __init__(self) -> None:
        self._pages: set[_Page] = set()
        self._opened = asyncio.Event()
        self._ending = asyncio.Event()

    @property
    def has_pages(self) -> bool:
        """Whether any page is open."""
        return bool(self._pages)

    def notify(self, topic: str) -> None:
        """Notify every open page of a change of `topic`."""
        for page in self._pages:
            page.notify(topic)

    def end(self) -> None:
        """End all streams, so that the server can shut down."""
        self._ending.set()
        for page in self._pages:
            page.wakeup.set()

    async def wait_for_page(self, timeout: float) -> None:  # noqa: ASYNC109 (no error at its end)
        """Wait until a page is opened, or for `timeout` seconds."""
        self._opened.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._opened.wait(), timeout)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self._pages) >= MAX_PAGES:
            await problem(503, "Too many pages are open.")(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        async with self._page() as page, _watch_disconnect(receive, page):
            await self._write(page, send)
        await send({"type": "http.response.body", "body": b""})

    async def _write(self, page: _Page, send: Send) -> None:
        body = b"retry: 1000\n\n"
        while True:
            await send({"type": "http.response.body", "body": body, "more_body": True})
            with suppress(TimeoutError):
                await asyncio.wait_for(page.wakeup.wait(), _KEEPALIVE_INTERVAL)
            if page.is_disconnected or self._ending.is_set():
                return
            body = page.take() or b": alive\n\n"
            await asyncio.sleep(_MIN_EVENT_INTERVAL)

    @asynccontextmanager
    async def _page(self) -> AsyncIterator[_Page]:
        page = _Page()
        self._pages.add(page)
        self._opened.set()
        try:
            yield page
        finally:
            self._pages.discard(page)


class _Page:
    def __init__(self) -> None:
        self.wakeup = asyncio.Event()
        self.is_disconnected = False
        self._topics: dict[str, None] = {}

    def notify(self, topic: str) -> None:
        self._topics[topic] = None
        self.wakeup.set()

    def take(self) -> bytes:
        topics, self._topics = self._topics, {}
        self.wakeup.clear()
        return f"data: {' '.join(topics)}\n\n".encode() if topics else b""


@asynccontextmanager
async def _watch_disconnect(receive: Receive, page: _Page) -> AsyncIterator[None]:
    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        page.is_disconnected = True
        page.wakeup.set()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
