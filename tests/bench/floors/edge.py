"""The edge's cached read, by hand: as a route of FastAPI, as one of Starlette, and with a hop.

`python edge.py fastapi|starlette`. With FLOOR_USERS (a URL) a miss is read from there by aiohttp.
Its duties are those of `duties`: token, limit and revocation in one round trip, the cached entry
in a second one, ETag, headers, metrics, log line.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID

import aiohttp
from fastapi import Depends, FastAPI, Request, Response
from starlette.applications import Starlette
from starlette.routing import Route
from tests.bench.floors.duties import ADMIT, SECURITY, Link, Tokens, finish, open_link, serve

from twelvefold.contracts.accounts import user_cache_key

_VERSION = 8  # bytes before the body of an entry
_QUOTA = 1_000_000
USERS = os.environ.get("FLOOR_USERS", "")


class State:
    link: Link
    script: bytes
    http: aiohttp.ClientSession
    tokens = Tokens()


state = State()


@asynccontextmanager
async def lifespan(_: object) -> AsyncIterator[None]:
    state.link = await open_link()
    state.script = await state.link.call("SCRIPT", "LOAD", ADMIT)
    connector = aiohttp.TCPConnector(limit=100)
    async with aiohttp.ClientSession(connector=connector) as state.http:
        yield


async def admit(request: Request) -> str:
    """The account, with its limit counted and its revocation read."""
    claims = state.tokens.verify(request.headers["authorization"])
    subject = str(claims["sub"])
    keys = (f"rate:{subject}", f"revoked:{claims['sid']}", f"revoked:{subject}")
    admitted, remaining, _, marks = await state.link.call(
        "EVALSHA", state.script, 3, *keys, 60_000_000 // _QUOTA, _QUOTA
    )
    if not admitted or any(marks):
        raise PermissionError
    request.state.remaining = remaining
    return subject


async def read(request: Request, subject: str, account: str, began: float) -> Response:
    entry = await state.link.call("GET", user_cache_key(UUID(account)))
    if entry is None:
        headers = {"Authorization": request.headers["authorization"]}
        async with state.http.get(f"{USERS}/users/{account}", headers=headers) as found:
            body, etag = await found.read(), found.headers["etag"]
    else:
        body, etag = entry[_VERSION:], f'"v{int.from_bytes(entry[:_VERSION], "big")}"'
    response = Response(body, media_type="application/json")
    response.raw_headers += [
        *SECURITY,
        (b"etag", etag.encode()),
        (b"ratelimit", f'"user";r={request.state.remaining};t=1'.encode()),
    ]
    finish("/users/{id}", 200, began, subject)
    return response


def create_fastapi() -> FastAPI:
    app = FastAPI(lifespan=lifespan, telemetry={"tracing": False, "metrics": False, "logs": False})

    @app.get("/users/me")
    async def me(request: Request, subject: Annotated[str, Depends(admit)]) -> Response:
        return await read(request, subject, subject, time.perf_counter())

    @app.get("/users/{account}")
    async def one(
        account: str, request: Request, subject: Annotated[str, Depends(admit)]
    ) -> Response:
        return await read(request, subject, account, time.perf_counter())

    return app


def create_starlette() -> Starlette:
    async def me(request: Request) -> Response:
        began = time.perf_counter()
        subject = await admit(request)
        return await read(request, subject, subject, began)

    return Starlette(routes=[Route("/users/me", me)], lifespan=lifespan)


if __name__ == "__main__":
    serve(create_starlette() if sys.argv[1] == "starlette" else create_fastapi())
