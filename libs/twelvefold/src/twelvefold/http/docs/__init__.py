"""The page /docs (Swagger UI from a wheel, so that it works offline) and /openapi.json.

Owns the page, its files and their content security policy. All of them are made or read once,
except the demo account of a laptop. The page follows the browser's colour scheme and keeps the
authorisation over a reload only where the user ticks the box for it.
"""

from __future__ import annotations

import html
import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

if TYPE_CHECKING:
    from fastapi import FastAPI

# Swagger UI styles elements inline; everything else must come from this server.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SWAGGER = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
_OWN = {"start.js": "text/javascript", "page.css": "text/css"}
_DEMO = "demo.json"
_CACHED = {"Cache-Control": "public, max-age=86400"}
_PRIVATE = {"Cache-Control": "no-store"}
# A page of another site that has its name resolve to this machine sends that name.
_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


PATHS = frozenset({"/docs", "/docs/{name}", "/openapi.json"})


def add_document(app: FastAPI) -> None:
    """Serve the OpenAPI document, rendered at its first request."""
    document = cache(lambda: json.dumps(app.openapi(), ensure_ascii=False).encode())

    async def openapi(_: Request) -> Response:
        return Response(document(), media_type="application/json")

    app.add_route("/openapi.json", openapi, include_in_schema=False)


def add_docs(app: FastAPI, demo_account: Path | None = None) -> None:
    """Serve /docs and its files, which are not in the OpenAPI document.

    `demo_account` is a file with the email and password of an account that the page offers to log
    in, to browsers on this machine only.
    """
    page = Template(_read("page.html").decode()).substitute(title=html.escape(app.title))

    async def docs(_: Request) -> Response:
        # Relative links, so that a gateway may serve the app below a prefix.
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name == _DEMO and demo_account and request.url.hostname in _LOCAL_HOSTS:
            content = await run_in_threadpool(_read_demo, demo_account)
            return Response(content, headers=_PRIVATE, media_type="application/json")
        if name in _OWN:
            return Response(_read(name), media_type=_OWN[name])
        if name not in _SWAGGER:
            raise HTTPException(404)
        return Response(_read_swagger(name), headers=_CACHED, media_type=_SWAGGER[name])

    app.add_route("/docs", docs, include_in_schema=False)
    app.add_route("/docs/{name}", file, include_in_schema=False)


def _read_demo(path: Path) -> bytes:
    """Return the account as JSON. Raises HTTPException (404) where there is none yet."""
    try:
        account = json.loads(path.read_bytes())
        return json.dumps({name: account[name] for name in ("email", "password")}).encode()
    except (OSError, ValueError, KeyError, TypeError):
        raise HTTPException(404) from None


@cache
def _read(name: str) -> bytes:
    return files(__name__).joinpath(name).read_bytes()


@cache
def _read_swagger(name: str) -> bytes:
    """Return a file, read once: one copy of 1.4 MB serves all responses."""
    return files("fastapi_swagger").joinpath("resources", name).read_bytes()
