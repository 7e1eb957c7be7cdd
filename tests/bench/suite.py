"""The suite under measurement: real servers, and api, users and worker as they are deployed.

Owns what is started with which settings, the accounts and their tokens. What is measured is in
`paths`.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import psutil
from redis.asyncio import Redis
from tests.bench import frame
from tests.bench.floors.duties import AUDIENCE, ISSUER

from twelvefold.contracts.accounts import Role, user_cache_key
from twelvefold.database.migrations import bootstrap, upgrade
from twelvefold.database.revisions import installed_migrations
from twelvefold.identifiers import new_id
from twelvefold.security.keys import KeySet
from twelvefold.security.tokens import TokenIssuer
from twelvefold.service.installed import installed_services
from twelvefold_dev.servers.embedded import BUCKET, EmbeddedServers, ServerCredentials
from twelvefold_dev.servers.object_store import REGION
from twelvefold_dev.system.ports import PortPicker

TWELVEFOLD = Path(sys.executable).with_name("twelvefold")
ROOT = Path(__file__).parents[2]
_SCOPES = "users:read users:write images:read images:write jobs:read jobs:write"
_MANY = "1000000"
_SECRET = "bench-" * 8
_SOCKETS = {
    "api": ("HTTP_FD", "INTERNAL_FD", "MANAGEMENT_FD"),
    "users": ("INTERNAL_FD", "MANAGEMENT_FD"),
    "worker": ("MANAGEMENT_FD",),
}
_INSERT = """
INSERT INTO users.accounts (id, email, email_key, name, role, password_hash)
SELECT id, id || '@bench.example', id || '@bench.example', 'Bench', 'user', '!'
FROM unnest($1::uuid[]) AS id
"""
_KEEP_OLDEST = """
DELETE FROM jobs.jobs WHERE id NOT IN (SELECT id FROM jobs.jobs ORDER BY id LIMIT $1)
"""
LISTED = 100  # jobs, the first that are enqueued


@dataclass
class BenchSuite:
    """Servers and accounts; `start` adds a process of a service for the time of a stack."""

    servers: EmbeddedServers
    accounts: list[UUID]
    keys: KeySet = field(default_factory=KeySet.generate)
    _urls: dict[str, str] = field(default_factory=dict)

    def token(self, account: UUID, role: Role = Role.USER) -> str:
        scopes = f"{_SCOPES} admin" if role is Role.ADMIN else _SCOPES
        issuer = TokenIssuer(self.keys, ISSUER, AUDIENCE, ttl=86_400)
        return issuer.issue(account, role, scopes, UUID(int=1))

    @property
    def s3(self) -> dict[str, str]:
        store = self.servers.object_store
        return {
            "S3_ENDPOINT": store.url,
            "S3_REGION": REGION,
            "S3_BUCKET": BUCKET,
            "S3_ACCESS_KEY_ID": store.credentials.access_key_id,
            "S3_SECRET_ACCESS_KEY": store.credentials.secret_access_key,
        }

    async def start(self, stack: AsyncExitStack, name: str, **changed: str) -> frame.Served:
        """A process of a service on the server's core, once it is ready."""
        command = [str(TWELVEFOLD), "run", name]
        served = stack.enter_context(
            frame.served(command, self._environment(name, changed), _SOCKETS[name])
        )
        await frame.answering(served, frame.get("/readyz"), served.ports["MANAGEMENT_FD"])
        if "INTERNAL_FD" in served.ports:
            self._urls.setdefault(name, f"http://127.0.0.1:{served.ports['INTERNAL_FD']}")
        return served

    async def start_floor(
        self,
        stack: AsyncExitStack,
        file: str,
        *arguments: str,
        path: str,
        token: str = "",
        **more: str,
    ) -> frame.Served:
        """A floor of `floors`, once it answers `path`."""
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "REDIS_URL": self.servers.redis.url,
            "FLOOR_DATABASE": self.servers.postgres.url,
            "FLOOR_JWKS": _json(self.keys.public_jwks()),
            "ARGON2_MEMORY": "1024",
            "ARGON2_PASSES": "1",
            **self.s3,
            **more,
        }
        script = Path(__file__).with_name("floors") / f"{file}.py"
        served = stack.enter_context(
            frame.served([str(script), *arguments], environment, ("HTTP_FD",))
        )
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        await frame.answering(served, frame.get(path, **headers))
        return served

    def caller(self) -> dict[str, str]:
        """The headers of a call by api to the internal port of users."""
        return {"X-Caller": "api", "X-Caller-Secret": _SECRET}

    async def forget_accounts(self) -> None:
        """Empty the read cache."""
        async with Redis.from_url(self.servers.redis.url) as redis:
            await redis.delete(*(user_cache_key(account) for account in self.accounts))

    async def forget_jobs(self) -> None:
        """Keep the jobs of the lists only: what the writes enqueue would slow down later ones."""
        sql = await asyncpg.connect(self.servers.postgres.url)
        await sql.execute(_KEEP_OLDEST, LISTED)
        await sql.close()

    def backing_seconds(self, names: Collection[str]) -> float:
        """CPU of these servers so far, without processes that have ended."""
        processes = []
        for server in self.servers.all:
            if server.name in names and server.pid is not None:
                root = psutil.Process(server.pid)
                processes += [root, *root.children(recursive=True)]
        return sum(_cpu_seconds(process.pid) for process in processes)

    def _environment(self, name: str, changed: Mapping[str, str]) -> dict[str, str]:
        postgres = self.servers.postgres
        composed = {
            "ENVIRONMENT": "testing",
            "LOG_FORMAT": "json",
            "HTTP_LAME_DUCK": "0",
            "DATABASE_URL": postgres.url_of(f"{name}_app", "bench"),
            "REDIS_URL": self.servers.redis.url,
            # A busy machine is no outage here.
            "REDIS_TIMEOUT": "5",
            "INTERNAL_TIMEOUT": "25",
            "DATABASE_POOL_TIMEOUT": "25",
            "HTTP_WAIT": "25",
            "ARGON2_WAIT": "25",
            "SMTP_URL": self.servers.mail.url,
            "MAIL_FROM": "Bench <bench@bench.example>",
            **self.s3,
            "S3_EAGER": "true",
            "WEB_URL": "http://bench.example",
            "SECRET_KEY": "bench-" * 8,
            "JWT_SIGNING_KEYS": self.keys.to_json(),
            "INTERNAL_SECRET": _SECRET,
            "INTERNAL_SECRETS_API": _SECRET,
            "INTERNAL_SECRETS_EDGE": _SECRET,
            "INTERNAL_SECRETS_WORKER": _SECRET,
            "USERS_URL": self._urls.get("users", ""),
            "API_URL": self._urls.get("api", ""),
            "ARGON2_MEMORY": "1024",  # the least: hashing is the same everywhere
            "ARGON2_PASSES": "1",
            "JOBS_MAX_WAITING_PER_OWNER": "100000",
            "EMAILS_PER_RECIPIENT": _MANY,
            **{f"RATE_LIMIT_{kind}": _MANY for kind in ("ADMIN", "ANONYMOUS", "USER")},
            **{f"RATE_LIMIT_{kind}": _MANY for kind in ("CREDENTIALS", "REGISTRATION")},
            "RATE_LIMIT_MAIL": "1",  # for the 429
            **changed,
        }
        settings = installed_services()[name].settings
        known = {setting.upper() for setting in settings.model_fields}
        environment = {key: value for key, value in composed.items() if key in known}
        # As the images set it.
        return {"PATH": os.environ["PATH"], "MALLOC_ARENA_MAX": "2", **environment}


@asynccontextmanager
async def open_suite(folder: Path, accounts: int) -> AsyncIterator[BenchSuite]:
    """Durable servers, as deployed; migrated, with so many accounts."""
    servers = EmbeddedServers(
        folder / "servers", ServerCredentials.generate(), PortPicker(str(uuid.uuid4()))
    )
    await servers.start()
    try:
        found = installed_migrations()
        passwords = {role: "bench" for one in found for role in (one.owner_role, one.app_role)}
        await bootstrap(servers.postgres.url, found, passwords)
        for one in found:
            await upgrade(one, servers.postgres.url_of(one.owner_role, "bench"))
        suite = BenchSuite(servers, [new_id() for _ in range(accounts)])
        sql = await asyncpg.connect(servers.postgres.url)
        await sql.execute(_INSERT, suite.accounts)
        await sql.execute("ANALYZE")
        await sql.close()
        yield suite
    finally:
        await servers.stop()


def _cpu_seconds(pid: int) -> float:
    """In nanoseconds' resolution, of the threads that are there."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except OSError:  # a process or a thread that has just ended
        return 0.0


def _json(value: Any) -> str:
    import json

    return json.dumps(value)
