"""Real servers for a whole test run, and what a test takes of them.

One set of PostgreSQL, Redis, S3 and SMTP serves every pytest-xdist worker: the controller starts
it, the workers get the URLs. Each worker has a Redis database and a bucket of its own. Runs of
`tests/unit` and `tests/charts` alone start none.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis.asyncio
import structlog

from twelvefold.database.migrations import bootstrap, upgrade
from twelvefold.database.revisions import installed_migrations
from twelvefold.observability import logs
from twelvefold.observability.log_level import log_level
from twelvefold_dev.servers.embedded import EmbeddedServers, ServerCredentials
from twelvefold_dev.servers.mailbox import Mailbox
from twelvefold_dev.servers.object_store import REGION, create_bucket
from twelvefold_dev.servers.object_store_access import S3Credentials
from twelvefold_dev.system.ports import PortPicker

pytest_plugins = [
    "tests.running_suite",
    "tests.attack_figures",
    "tests.browser",
    "tests.console_page",
    "tests.typescript",
]

_HERE = Path(__file__).parent
# Tests without servers.
_ALONE = (_HERE / "unit", _HERE / "charts", _HERE / "cluster")
# `make charts-test` installs Helm's engine, `make cluster-test` wants a cluster.
_ON_REQUEST = (_HERE / "charts", _HERE / "cluster")
_WORKER_INPUT = "twelvefold_servers"


@dataclass(frozen=True, slots=True)
class ServerUrls:
    """Where the servers of this run are. Plain strings, since it travels to xdist's workers."""

    postgres: str  # superuser
    redis: str  # database 0
    s3: str
    s3_access_key_id: str
    s3_secret_access_key: str
    smtp: str
    mail_folder: str


class _RunServers:
    """The servers of one run, started at most once, by the process that pytest began in."""

    def __init__(self) -> None:
        self._running: EmbeddedServers | None = None

    def start(self) -> ServerUrls:
        if self._running is None:
            directory = Path(tempfile.mkdtemp(prefix="twelvefold-tests-"))
            directory.chmod(0o755)  # under root PostgreSQL's own user has to enter it
            servers = EmbeddedServers(
                directory,
                ServerCredentials.generate(),
                PortPicker(str(uuid.uuid4())),
                durable=False,
            )
            self._running = servers
            _run(servers.start())
        servers = self._running
        credentials = servers.object_store.credentials
        return ServerUrls(
            postgres=servers.postgres.url,
            redis=servers.redis.url,
            s3=servers.object_store.url,
            s3_access_key_id=credentials.access_key_id,
            s3_secret_access_key=credentials.secret_access_key,
            smtp=servers.mail.url,
            mail_folder=str(servers.mail.directory),
        )

    def stop(self) -> None:
        if self._running is not None:
            _run(self._running.stop())
            shutil.rmtree(self._running.directory, ignore_errors=True)


_SERVERS = pytest.StashKey[_RunServers]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SERVERS] = _RunServers()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What needs more than the environment and this machine runs only where it is named."""
    for folder in _ON_REQUEST:
        if collection_path.is_relative_to(folder) and not any(
            path.is_relative_to(folder) for path in _named(config)
        ):
            return True
    return None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """In the controller of pytest-xdist, for each worker before it starts."""
    if not _needs_no_servers(node.config):
        node.workerinput[_WORKER_INPUT] = asdict(node.config.stash[_SERVERS].start())


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_SERVERS].stop()


def _named(config: pytest.Config) -> list[Path]:
    return [Path(argument.partition("::")[0]).resolve() for argument in config.args]


def _needs_no_servers(config: pytest.Config) -> bool:
    return all(any(path.is_relative_to(folder) for folder in _ALONE) for path in _named(config))


def _run(work: Any) -> None:
    with asyncio.Runner() as runner:
        runner.run(work)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """What a test says about logging ends with it: the set-up belongs to the whole process."""
    root = logging.getLogger()
    before, handlers, level = structlog.get_config(), root.handlers[:], root.level
    number = log_level.number
    request_loggers = logs._request_loggers[:]
    yield
    structlog.configure(**before)
    root.handlers[:], logs._request_loggers[:] = handlers, request_loggers
    root.setLevel(level)
    log_level.number = number


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> ServerUrls:
    """PostgreSQL, Redis, S3 and SMTP, shared by all tests in this run."""
    workerinput = getattr(request.config, "workerinput", None)
    if workerinput is None:
        return request.config.stash[_SERVERS].start()
    if _WORKER_INPUT not in workerinput:
        pytest.fail("a test beside the servers asks for them: it belongs to tests/integration")
    return ServerUrls(**workerinput[_WORKER_INPUT])


@pytest.fixture(scope="session")
def worker_number() -> int:
    """0 without pytest-xdist, else 1 and on."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return 0 if worker is None else 1 + int(worker.removeprefix("gw"))


@pytest.fixture(scope="session")
def postgres_superuser_url(servers: ServerUrls) -> str:
    return servers.postgres


@pytest.fixture
async def redis_url(servers: ServerUrls, worker_number: int) -> str:
    """An empty Redis database. Pub/sub is shared by all of them: use channel names of your own."""
    url = f"{servers.redis.rpartition('/')[0]}/{worker_number}"
    client = redis.asyncio.from_url(url)
    async with client:
        await client.flushdb()
    return url


@pytest.fixture(scope="session")
async def s3_settings(servers: ServerUrls, worker_number: int) -> dict[str, str]:
    """The fields of ObjectStoreSettings, for a bucket that only this worker uses."""
    settings = {
        "s3_endpoint": servers.s3,
        "s3_public_endpoint": servers.s3,
        "s3_region": REGION,
        "s3_bucket": f"tests-{worker_number}",
        "s3_access_key_id": servers.s3_access_key_id,
        "s3_secret_access_key": servers.s3_secret_access_key,
    }
    credentials = S3Credentials(servers.s3_access_key_id, servers.s3_secret_access_key)
    assert await create_bucket(servers.s3, credentials, settings["s3_bucket"])
    return settings


@pytest.fixture(scope="session")
def smtp_url(servers: ServerUrls) -> str:
    return servers.smtp


@pytest.fixture(scope="session")
def mailbox(servers: ServerUrls) -> Mailbox:
    """Every mail that was caught in this run: look by recipient, and choose a unique one."""
    return Mailbox(Path(servers.mail_folder))


@dataclass(frozen=True, slots=True)
class Database:
    """One migrated database: every service's schema, roles and grants."""

    name: str
    superuser_url: str
    passwords: dict[str, str]

    def url(self, role: str) -> str:
        """For `users_app`, `api_owner` and so on."""
        parts = urlsplit(self.superuser_url)
        address = f"{role}:{self.passwords[role]}@{parts.hostname}:{parts.port}"
        return parts._replace(netloc=address).geturl()


@pytest.fixture(scope="session")
async def new_database(
    postgres_superuser_url: str, worker_number: int, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Callable[[], Awaitable[Database]]]:
    """Makes migrated databases, each a copy of this worker's template (about 50 ms)."""
    found = installed_migrations()
    roles = [role for entry in found for role in (entry.owner_role, entry.app_role)]
    passwords = {role: f"{role}-test-password" for role in roles}
    template = f"template_{worker_number}_{uuid.uuid4().hex[:8]}"
    admin = await asyncpg.connect(postgres_superuser_url)

    def named(name: str) -> Database:
        url = urlsplit(postgres_superuser_url)._replace(path=f"/{name}").geturl()
        return Database(name, url, passwords)

    await admin.execute(f"CREATE DATABASE {template}")
    # Roles belong to the whole server: two workers creating them at once would collide.
    lock = tmp_path_factory.getbasetemp().parent / "roles.lock"
    with lock.open("w") as held:
        await asyncio.to_thread(fcntl.flock, held, fcntl.LOCK_EX)
        await bootstrap(named(template).superuser_url, found, passwords)
    for entry in found:
        await upgrade(entry, named(template).url(entry.owner_role))

    async def create() -> Database:
        name = f"test_{worker_number}_{uuid.uuid4().hex[:8]}"
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return named(name)

    yield create
    await admin.close()


@pytest.fixture(scope="session")
async def database(new_database: Callable[[], Awaitable[Database]]) -> Database:
    """This worker's database. It is shared: tests use ids and addresses of their own."""
    return await new_database()
