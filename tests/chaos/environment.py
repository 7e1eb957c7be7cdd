"""The environment of a fault scenario: servers behind proxies, a suite, and workers.

Owns starting, killing and healing. What is done when is the nemesis's; what is requested of the
suite is the load's.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
from tests.chaos.processes import Process
from tests.chaos.worker_child import SCHEMA
from tests.proxy import Proxy, open_proxy
from tests.running_suite import new_checkout
from tests.suite import SERVICES

from twelvefold.database.migrations import bootstrap, upgrade
from twelvefold.database.revisions import installed_migrations
from twelvefold_dev.servers.embedded import BUCKET, EmbeddedServers, ServerCredentials
from twelvefold_dev.servers.object_store import REGION
from twelvefold_dev.servers.server import EmbeddedServer
from twelvefold_dev.system.ports import PortPicker

TWELVEFOLD = Path(sys.executable).with_name("twelvefold")
_ANSWERS = 120  # seconds for a command on the stack


@dataclass
class ChaosEnvironment:
    """Servers, proxies, workers and, optionally, the suite's own services."""

    folder: Path
    servers: EmbeddedServers
    proxies: dict[str, Proxy]
    passwords: dict[str, str]
    workers: list[Process] = field(default_factory=list)
    suite: Path | None = None  # its checkout

    def url(self, name: str, role: str | None = None) -> str:
        """Of a server, through its proxy if it has one; of PostgreSQL as a service's role."""
        url = self.server(name).url
        if name in self.proxies:
            url = self.proxies[name].url(url)
        if role is not None:
            address = urlsplit(url).netloc.rpartition("@")[2]
            netloc = f"{role}:{self.passwords[role]}@{address}"
            url = urlsplit(url)._replace(netloc=netloc).geturl()
        return url

    def server(self, name: str) -> EmbeddedServer:
        return {server.name: server for server in self.servers.all}[name]

    @property
    def s3(self) -> dict[str, str]:
        credentials = self.servers.object_store.credentials
        return {
            "S3_ENDPOINT": self.url("s3"),
            "S3_PUBLIC_ENDPOINT": self.servers.object_store.url,
            "S3_REGION": REGION,
            "S3_BUCKET": BUCKET,
            "S3_ACCESS_KEY_ID": credentials.access_key_id,
            "S3_SECRET_ACCESS_KEY": credentials.secret_access_key,
        }

    async def sql(self) -> asyncpg.Connection[asyncpg.Record]:
        """As superuser, past the proxy: for looking on, not for taking part."""
        return await asyncpg.connect(self.servers.postgres.url)

    # Servers

    async def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends a server and starts it again, on the data that it had."""
        server = self.server(name)
        if server.pid is None:
            return
        os.kill(server.pid, number)
        await server.wait()
        await server.start()

    # The suite's own processes

    async def pids(self, service: str) -> list[int]:
        """Of the running processes of a service."""
        if self.suite is None:
            return []
        with suppress(AssertionError, ValueError):
            rows: list[dict[str, Any]] = json.loads(await self.command("ps", "--json"))
            return [
                row["pid"] for row in rows if row["name"].startswith(f"{service}.") and row["pid"]
            ]
        return []

    @property
    def api(self) -> str:
        assert self.suite is not None
        found: str = json.loads((self.suite / ".twelvefold/endpoints.json").read_text())["api"]
        return found

    async def command(self, *arguments: str, **environment: str) -> str:
        assert self.suite is not None
        process = await asyncio.create_subprocess_exec(
            TWELVEFOLD,
            *arguments,
            cwd=self.suite,
            env={"PATH": os.environ["PATH"], **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), _ANSWERS)
        assert process.returncode == 0, output.decode()
        return output.decode()

    # Workers with countable effects

    def new_worker(self, name: str, **changed: str) -> Process:
        environment = {
            "PATH": os.environ["PATH"],
            "ENVIRONMENT": "testing",
            "DATABASE_URL": self.url("postgres", "worker_app"),
            "REDIS_URL": self.url("redis"),
            "SMTP_URL": self.url("mail"),
            "MAIL_FROM": "Chaos <chaos@chaos.example>",
            "MANAGEMENT_PORT": "0",
            **self.s3,
            **changed,
        }
        self.workers.append(Process(name, environment, self.folder))
        return self.workers[-1]

    async def heal(self) -> None:
        """Every connection flows, every server and worker runs."""
        for proxy in self.proxies.values():
            proxy.delay = 0.0
            proxy.release()
        for server in self.servers.all:
            if not server.is_alive:
                await server.start()
        for worker in self.workers:
            worker.send(signal.SIGCONT)
        for service in SERVICES:
            for pid in await self.pids(service):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def open_environment(
    folder: Path,
    *,
    workers: int = 2,
    lease: float = 30.0,
    suite: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
    proxied: bool = True,
) -> AsyncIterator[ChaosEnvironment]:
    """On an empty `folder`. `suite`: starts the services, so many of each, with `settings`.

    Not `proxied`: nothing stands between the suite and its servers, for what is about speed.
    """
    servers = EmbeddedServers(
        folder / "servers", ServerCredentials.generate(), PortPicker(str(uuid4()))
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(servers.stop)
        await servers.start()
        proxies = {
            server.name: await stack.enter_async_context(open_proxy(server.url))
            for server in (servers.all if proxied else ())
        }
        environment = ChaosEnvironment(folder, servers, proxies, {})
        if suite is not None:
            await _start_suite(environment, stack, suite, settings or {})
        else:
            await _migrate(environment)
        sql = await environment.sql()
        await sql.execute(SCHEMA)
        await sql.close()
        for number in range(1, workers + 1):
            worker = environment.new_worker(f"chaos{number}", CHAOS_LEASE=str(lease))
            stack.push_async_callback(worker.close)
            await worker.start()
            worker.keep()
        yield environment
        await environment.heal()


async def _migrate(environment: ChaosEnvironment) -> None:
    found = installed_migrations()
    roles = [role for entry in found for role in (entry.owner_role, entry.app_role)]
    environment.passwords |= {role: uuid4().hex for role in roles}
    await bootstrap(environment.servers.postgres.url, found, environment.passwords)
    for entry in found:
        await upgrade(entry, environment.url("postgres", entry.owner_role))


async def _start_suite(
    environment: ChaosEnvironment,
    stack: AsyncExitStack,
    counts: Mapping[str, str],
    settings: Mapping[str, str],
) -> None:
    """`twelvefold up` on our servers as on managed ones."""
    checkout = environment.suite = new_checkout(environment.folder / "checkout")

    async def down() -> None:
        await environment.command("reset", "--yes")

    scale = [part for name, count in counts.items() for part in ("--scale", f"{name}={count}")]
    stack.push_async_callback(down)
    await environment.command(
        "up",
        "--detach",
        *scale,
        BOOTSTRAP_DATABASE_URL=environment.url("postgres"),
        REDIS_URL=environment.url("redis"),
        SMTP_URL=environment.url("mail"),
        **environment.s3,
        **settings,
    )
    secrets = json.loads((checkout / ".twelvefold/secrets.json").read_text())
    environment.passwords |= {
        name.removeprefix("role."): value
        for name, value in secrets.items()
        if name.startswith("role.")
    }
