"""The page /docs, without a network."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse


async def docs_page(request: Request) -> HTMLResponse:
    return HTMLResponse('<!doctype html><a href="/openapi.json">openapi.json</a>')
