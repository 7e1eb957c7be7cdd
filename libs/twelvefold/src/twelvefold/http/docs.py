"""The page /docs (Swagger UI from a wheel, so that it works offline) and /openapi.json.

Owns the page, its three files and their content security policy. All of them are made or read once.
"""

from __future__ import annotations

import html
import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

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
_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
_START = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  showExtensions: true,
  validatorUrl: null,
  persistAuthorization: false,
});
"""
# Relative links, so that a gateway may serve the app below a prefix.
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""


PATHS = frozenset({"/docs", "/docs/{name}", "/openapi.json"})


def add_document(app: FastAPI) -> None:
    """Serve the OpenAPI document, rendered at its first request."""
    document = cache(lambda: json.dumps(app.openapi(), ensure_ascii=False).encode())

    async def openapi(_: Request) -> Response:
        return Response(document(), media_type="application/json")

    app.add_route("/openapi.json", openapi, include_in_schema=False)


def add_docs(app: FastAPI) -> None:
    """Serve /docs and its files, which are not in the OpenAPI document."""
    page = _PAGE.format(title=html.escape(app.title))

    async def docs(_: Request) -> Response:
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})

    app.add_route("/docs", docs, include_in_schema=False)
    app.add_route("/docs/{name}", _file, include_in_schema=False)


async def _file(request: Request) -> Response:
    name = request.path_params["name"]
    if name == "start.js":
        return Response(_START, media_type="text/javascript")
    if name not in _FILES:
        raise HTTPException(404)
    headers = {"Cache-Control": "public, max-age=86400"}
    return Response(_content(name), headers=headers, media_type=_FILES[name])


@cache
def _content(name: str) -> bytes:
    """Return a file, read once: one copy of 1.4 MB serves all responses."""
    return files("fastapi_swagger").joinpath("resources", name).read_bytes()
