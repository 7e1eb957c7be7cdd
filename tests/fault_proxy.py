"""An HTTP proxy in front of the API that plants faults, by a seed, and knows what it did.

Owns the kinds of faults and the record of what reached the API. A fault looks to the client as it
would in a network or at a gateway: the client cannot know whether its request was executed.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

import aiohttp
from aiohttp import web

_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "host", "content-length"})
_MAX_BODY = 16 * 1024 * 1024  # bytes
_SHORT = 1_000  # bytes
_GATEWAY = "upstream connect error or disconnect/reset before headers"


class Fault(StrEnum):
    """What happens to a request; of the first three the API never hears."""

    DROPPED = "dropped"  # the connection ends before the API gets the request
    REFUSED = "refused"  # 429 of the gateway
    UNREACHED = "unreached"  # 503 of the gateway, which has not reached the API
    LOST = "lost"  # the API executes the request, and the connection ends
    CUT = "cut"  # the connection ends within the response
    MASKED = "masked"  # 502 of the gateway, although the API has executed the request
    STALLED = "stalled"  # the response comes later than the client waits


_BEFORE = (Fault.DROPPED, Fault.REFUSED, Fault.UNREACHED)


@dataclass
class FaultProxy:
    """Forwards requests to `target`. A share of `rate` meets a fault; a stall takes `stall`
    seconds.
    """

    target: str
    rate: float
    seed: int
    stall: float
    url: str = ""
    planted: Counter[Fault] = field(default_factory=Counter)
    # Requests that reached the API, by method, path and body, of bodies that are short.
    executed: Counter[tuple[str, str, bytes]] = field(default_factory=Counter)
    requests: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311  (no secret)
        self._session: aiohttp.ClientSession | None = None

    def _draw(self) -> Fault | None:
        self.requests += 1
        if self._random.random() >= self.rate:
            return None
        fault = list(Fault)[self.planted.total() % len(Fault)]  # all of them, in turn
        self.planted[fault] += 1
        return fault

    async def handle(self, request: web.Request) -> web.StreamResponse:
        fault = self._draw()
        body = await request.read()
        if fault in _BEFORE:
            return self._fail(request, fault)
        assert self._session is not None
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP}
        if len(body) < _SHORT:
            self.executed[request.method, request.path, body] += 1
        async with self._session.request(
            request.method,
            f"{self.target}{request.raw_path}",
            headers=headers,
            data=body or None,
            allow_redirects=False,
        ) as answer:
            if answer.content_type == "text/event-stream":
                return await self._stream(request, answer, broken=fault is not None)
            content = await answer.read()
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP}
        if fault is Fault.MASKED:
            return web.Response(status=502, text=_GATEWAY)
        if fault is Fault.STALLED:
            await asyncio.sleep(self.stall)
        if fault is Fault.LOST:
            return self._abort(request)
        if fault is Fault.CUT and content:
            return await self._cut(request, answer.status, kept, content)
        return web.Response(status=answer.status, headers=kept, body=content)

    def _fail(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        if fault is Fault.REFUSED:
            body = {"type": "/problems/too-many-requests", "title": "Too many", "status": 429}
            return web.json_response(
                {**body, "detail": "planted", "instance": "/"},
                status=429,
                headers={"Retry-After": "0"},
                content_type="application/problem+json",
            )
        if fault is Fault.UNREACHED:
            return web.Response(status=503, text=_GATEWAY)
        return self._abort(request)

    def _abort(self, request: web.Request) -> web.StreamResponse:
        if isinstance(request.transport, asyncio.Transport):
            request.transport.abort()
        return web.Response()

    async def _cut(
        self, request: web.Request, status: int, headers: dict[str, str], content: bytes
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(content)
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        self._abort(request)
        return response

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse, *, broken: bool
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            status=answer.status, headers={"Content-Type": "text/event-stream"}
        )
        await response.prepare(request)
        with suppress(ConnectionError, aiohttp.ClientError):
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
                if broken:
                    return self._abort(request)
        return response


@asynccontextmanager
async def open_fault_proxy(
    target: str, *, rate: float, seed: int = 1, stall: float = 3.0
) -> AsyncIterator[FaultProxy]:
    """Listen on a free port of this machine, with faults for a share of `rate` of the requests."""
    proxy = FaultProxy(target, rate, seed, stall)
    application = web.Application(client_max_size=_MAX_BODY)
    application.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    connector = aiohttp.TCPConnector(limit=200)
    try:
        async with aiohttp.ClientSession(
            connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            proxy._session = session
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            address: tuple[str, int] = runner.addresses[0]
            proxy.url = f"http://127.0.0.1:{address[1]}"
            yield proxy
    finally:
        await runner.cleanup()
