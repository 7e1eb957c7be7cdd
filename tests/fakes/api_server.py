"""A small server that answers as the API server does for the objects that a test gives."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from lightkube import AsyncClient, KubeConfig

NAMESPACE = "shop"
_NOT_FOUND = 404


class ApiServer:
    """Objects and lists by path; every other path has the given status."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.absent = 404
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        found = self.objects.get(request.path)
        if found is None:
            if self.absent == _NOT_FOUND and "/apps/" not in request.path:
                # As the API server does for a group of resources that is not installed.
                return web.Response(text="404 page not found\n", status=_NOT_FOUND)
            status = {"kind": "Status", "code": self.absent, "message": "refused by the test"}
            return _json(status, self.absent)
        return _json(found)


def _json(content: dict[str, Any], status: int = 200) -> web.Response:
    headers = {"Content-Type": "application/json"}
    return web.Response(body=json.dumps(content), status=status, headers=headers)


@asynccontextmanager
async def serving() -> AsyncIterator[ApiServer]:
    """A server on a free port of the loopback interface."""
    found = ApiServer()
    app = web.Application()
    app.router.add_get("/{path:.*}", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@asynccontextmanager
async def client_of(server: ApiServer) -> AsyncIterator[AsyncClient]:
    """A client of the server in the namespace."""
    config = KubeConfig.from_dict(
        {
            "clusters": [{"name": "x", "cluster": {"server": server.url}}],
            "users": [{"name": "x", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "current-context": "x",
        }
    )
    client = AsyncClient(config.get(), namespace=NAMESPACE)
    try:
        yield client
    finally:
        await client.aclose()
