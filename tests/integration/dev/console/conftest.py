"""A real console process for a stack that consists of files and a fake supervisor."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from tests.spans import message

from twelvefold_dev.checkout import Checkout
from twelvefold_dev.console.config import ConsoleConfig
from twelvefold_dev.console.server import ConsoleServer
from twelvefold_dev.console.traces.spans import Span
from twelvefold_dev.servers.server import StackError
from twelvefold_dev.supervisor.control import ControlServer

TOKEN = "the-token-of-the-checkout"
DATABASE_PASSWORD = "planted-database-password"
TOKEN_HEADER = {"X-Console-Token": TOKEN}
PROTOBUF = {"Content-Type": "application/x-protobuf"}
REFUSED = "refused.1"  # the process that the fake supervisor does not change
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Console:
    """One running console, as a browser and an exporter use it."""

    url: str
    checkout: Checkout
    server: ConsoleServer
    http: httpx.AsyncClient
    processes: list[Row]  # the rows that the supervisor reports
    commands: list[Row]  # what the supervisor was asked for, besides the rows

    @property
    def write_headers(self) -> dict[str, str]:
        """The headers of a write by the console's page, besides the token."""
        return {"Origin": self.url}

    async def get(self, path: str, **params: Any) -> Any:
        response = await self.http.get(f"/api/{path}", params=params)
        assert response.status_code == 200, response.text
        return response.json()

    async def write(self, method: str, path: str, **params: Any) -> httpx.Response:
        """Send a write as the console's page does."""
        return await self.http.request(
            method, f"/api/{path}", params=params, headers=self.write_headers
        )

    async def send(self, *spans: Span) -> None:
        body = message(*spans).SerializeToString()
        response = await self.http.post("/v1/traces", content=body, headers=PROTOBUF)
        assert response.status_code == 200, response.text

    def log(self, name: str, **fields: Any) -> None:
        with (self.checkout.logs / f"{name}.log").open("a") as file:
            file.write(json.dumps(fields) + "\n")

    def mail(self, name: str, content: str) -> None:
        (self.checkout.mail / name).write_text(content)


@pytest.fixture(scope="module")
async def jobs_database(new_database):
    return await new_database()


@pytest.fixture(scope="module")
async def start_console(
    jobs_database, servers, tmp_path_factory
) -> AsyncIterator[Callable[..., Any]]:
    endings = []

    async def start(prepare: Callable[[Checkout], None] | None = None, **changes: Any) -> Console:
        root = tmp_path_factory.mktemp("checkout")
        checkout = Checkout(root)
        checkout.create()
        if prepare is not None:
            prepare(checkout)
        processes: list[Row] = []
        commands: list[Row] = []

        async def respond(request: Row) -> AsyncIterator[Row]:
            if request["command"] != "ps":
                commands.append(request)
            if request.get("process") == REFUSED:
                raise StackError("the supervisor refuses")
            yield {"processes": processes}

        edge = changes.pop("edge", "http://127.0.0.1:1")
        control = ControlServer(checkout.run, respond)
        await control.open()
        config = {
            "root": str(root),
            "token": TOKEN,
            "started": time.time(),
            "services": ("api", "users", "worker"),
            "links": {"api": {"API documentation": "/docs"}},
            "jobs_url": jobs_database.url("worker_app"),
            "redis_url": servers.redis,
            "endpoints": {
                "api": edge,
                "postgres": f"postgresql://postgres:{DATABASE_PASSWORD}@127.0.0.1:2/postgres",
                "redis": "redis://127.0.0.1:3/0",
                "s3": "http://127.0.0.1:4",
                "mail": "smtp://127.0.0.1:5",
                "public": {"api": edge},
                "internal": {"api": "http://127.0.0.1:6", "users": "http://127.0.0.1:7"},
            },
            "mail_folder": str(checkout.mail),
        }
        server = ConsoleServer(
            checkout.run,
            lambda descriptor, url: ConsoleConfig(
                **{**config, "descriptor": descriptor, "url": url, "traces_to": url, **changes}
            ),
        )
        output = (root / "console.out").open("wb")
        await server.start(output)
        client = httpx.AsyncClient(base_url=server.url, headers=TOKEN_HEADER, timeout=20)

        async def end() -> None:
            await client.aclose()
            await server.stop()
            server.close()
            control.close()
            output.close()

        endings.append(end)
        return Console(server.url, checkout, server, client, processes, commands)

    yield start
    for end in endings:
        await end()


@pytest.fixture(scope="module")
async def console(start_console) -> Console:
    """One console for all tests of a file, each of which uses its own data."""
    shared: Console = await start_console()
    return shared


@pytest.fixture
async def jobs(jobs_database) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A superuser connection to an empty table of jobs."""
    connection = await asyncpg.connect(jobs_database.superuser_url)
    await connection.execute("TRUNCATE jobs.jobs CASCADE")
    yield connection
    await connection.close()


@pytest.fixture
def output(console) -> Callable[[], str]:
    """Return the output of the console's process."""
    return lambda: Path(console.checkout.root, "console.out").read_text()
