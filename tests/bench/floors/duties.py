"""The duties that a floor shares with the service beside which it is measured.

Token, rate limit and revocation, headers, metrics and a log line, each by the cheapest way that
keeps its meaning. No part of the suite's own code is used, except what is on the wire.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import deque
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import uuid4

import hiredis
import jwt
import uvicorn
from prometheus_client import Counter, Histogram

AUDIENCE, ISSUER = "twelvefold-api", "twelvefold"
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"private, no-cache"),
)
# KEYS: the bucket, two revocation marks; ARGV: interval in microseconds, quota.
ADMIT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local marks = {redis.call('GET', KEYS[2]) or '', redis.call('GET', KEYS[3]) or ''}
local following = arrival + ARGV[1]
local wait = following - ARGV[2] * ARGV[1] - now
if wait > 0 then return {0, 0, wait, marks} end
redis.call('SET', KEYS[1], following, 'PX', math.ceil((following - now) / 1000))
return {1, math.floor(-wait / ARGV[1]), 0, marks}
"""
_requests = Counter("floor_requests", "By status.", ["status", "handler"])
_duration = Histogram("floor_seconds", "Seconds.", ["handler"])


class Link(asyncio.Protocol):
    """One multiplexed connection to Redis: replies come in the order of the commands."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._pending: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of another class

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            waiting = self._pending.popleft()
            if not waiting.done():
                waiting.set_result(reply)

    async def call(self, *command: Any) -> Any:
        assert self._transport
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending.append(reply)
        self._transport.write(hiredis.pack_command(command))
        async with asyncio.timeout(5):
            return await reply


async def open_link() -> Link:
    url = urlsplit(os.environ["REDIS_URL"])
    loop = asyncio.get_running_loop()
    assert url.hostname
    assert url.port
    _, link = await loop.create_connection(Link, url.hostname, url.port)
    if url.password:
        await link.call("AUTH", url.password)
    return link


class Tokens:
    """Verified tokens are remembered until they expire, as in the suite."""

    def __init__(self) -> None:
        (self._key,) = jwt.PyJWKSet.from_dict(json.loads(os.environ["FLOOR_JWKS"])).keys
        self._remembered: dict[str, dict[str, Any]] = {}

    def verify(self, authorization: str) -> dict[str, Any]:
        token = authorization.removeprefix("Bearer ")
        claims = self._remembered.get(token)
        if claims is None or claims["exp"] < time.time():
            claims = jwt.decode(token, self._key, ["ES256"], audience=AUDIENCE, issuer=ISSUER)
            self._remembered[token] = claims
        return claims


def finish(route: str, status: int, began: float, subject: str) -> None:
    """The metrics and the log line of a request."""
    seconds = time.perf_counter() - began
    _requests.labels(str(status), route).inc()
    _duration.labels(route).observe(seconds)
    line = {
        "event": "request",
        "route": route,
        "status": status,
        "duration_ms": round(seconds * 1000, 2),
        "principal": subject,
        "request_id": uuid4().hex,
    }
    sys.stdout.write(json.dumps(line) + "\n")


def serve(app: Any) -> None:
    """On the inherited socket, with what uvicorn is fastest with."""
    uvicorn.run(
        app,
        fd=int(os.environ["HTTP_FD"]),
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
    )
