"""Two releases of every service on one database: the next one's schema is there, both work.

The next release is this one with a further revision in each schema. Processes of both serve people
at the same time, who find what the other release has written. A migration that is killed midway
leaves nothing, and one that takes away what still is used does not begin.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from tests.chaos.load import PASSWORD, picture
from tests.e2e.test_laptop import COMMAND, Laptop
from tests.running_suite import ROOT

from twelvefold.service.installed import installed_services
from twelvefold_dev.system.sockets import listen_on_first_free, url_of

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]
SCHEMAS = {"worker": "jobs", "users": "users", "api": "api"}  # in the order of their migration
TABLES = {"worker": "jobs", "users": "accounts", "api": "images"}
# A column that the next release writes and this one does not know. Pauses on request.
EXPAND = '''
"""Expands."""
import time
from pathlib import Path
from alembic import op

revision, down_revision, branch_labels, depends_on = "{next}", "{last}", None, None

def upgrade():
    op.execute("ALTER TABLE {schema}.{table} ADD COLUMN nickname text")
    op.execute("CREATE TABLE {schema}.{table}_extra (id uuid PRIMARY KEY)")
    while Path({hold!r}).exists():
        Path({hold!r}).with_suffix(".there").touch()
        time.sleep(0.05)
'''
CONTRACT = '''
"""Contracts: only releases from {next} on do without it."""
from alembic import op

revision, down_revision, branch_labels, depends_on = "{after}", "{next}", None, None
contract_after = "{next}"

def upgrade():
    op.execute("ALTER TABLE {schema}.{table} DROP COLUMN nickname")
'''


@dataclass(frozen=True, slots=True)
class Release:
    """The sources of a release, and how its commands and processes are run."""

    sources: Path
    hold: Path

    def revisions(self, service: str) -> Path:
        # The worker's release applies those of the jobs, which belong to the shared package.
        package = "twelvefold/jobs" if service == "worker" else service
        return self.sources / package / "migrations/versions"

    def add(self, service: str, text: str) -> None:
        """One more revision, by a template."""
        last = installed_services()[service].migrations.revisions[-1]  # type: ignore[union-attr]
        names = {
            "last": last,
            "next": f"{int(last) + 1:04}",
            "after": f"{int(last) + 2:04}",
            "schema": SCHEMAS[service],
            "table": TABLES[service],
            "hold": str(self.hold),
        }
        number = "after" if "contract_after" in text else "next"
        file = self.revisions(service) / f"{names[number]}_of_the_next_release.py"
        file.write_text(text.format(**names))

    def environment(self, pid: int, **changed: str) -> dict[str, str]:
        """That of a running process of this release's predecessor."""
        pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
        found = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        for name in ("HTTP_FD", "INTERNAL_FD", "MANAGEMENT_FD"):
            found.pop(name, None)
        return {**found, "PYTHONPATH": str(self.sources), "SERVICE_VERSION": "next", **changed}


@pytest.fixture(scope="module")
async def laptop(tmp_path_factory) -> AsyncIterator[Laptop]:
    """A suite of its own: no other test is to meet the next release's schema."""
    laptop = Laptop.create(tmp_path_factory.mktemp("upgrades"))
    try:
        await laptop.up()
        yield laptop
    finally:
        await laptop.run("reset", "--yes")


@pytest.fixture(scope="module")
def next_release(tmp_path_factory) -> Release:
    folder = tmp_path_factory.mktemp("next")
    release = Release(folder / "sources", folder / "hold")
    shutil.copytree(ROOT / "libs/twelvefold/src/twelvefold", release.sources / "twelvefold")
    for service in SCHEMAS:
        shutil.copytree(ROOT / f"services/{service}/src/{service}", release.sources / service)
        release.add(service, EXPAND)
    return release


@pytest.fixture(scope="module")
async def sql(laptop) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(laptop.endpoints["postgres"])
    yield connection
    await connection.close()


async def start_migration(laptop: Laptop, release: Release, service: str) -> Any:
    secrets = json.loads((laptop.checkout / ".twelvefold/secrets.json").read_text())
    role = f"{service}_owner"
    address = str(laptop.endpoints["postgres"]).rpartition("@")[2]
    url = f"postgresql://{role}:{secrets[f'role.{role}']}@{address}"
    return await asyncio.create_subprocess_exec(
        COMMAND,
        "db",
        "migrate",
        service,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(release.sources),
            "ENVIRONMENT": "development",
            "MIGRATION_DATABASE_URL": url,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


async def migrate(laptop: Laptop, release: Release, service: str) -> tuple[int, str]:
    process = await start_migration(laptop, release, service)
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, output.decode()


async def revision(sql: asyncpg.Connection, service: str) -> str:
    found = await sql.fetchval(f"SELECT version_num FROM {SCHEMAS[service]}.alembic_version")
    return str(found)


async def send(http: httpx.AsyncClient, method: str, path: str, **content: Any) -> httpx.Response:
    """The answer, after as many 503 with Retry-After as a busy machine gives."""
    async with asyncio.timeout(60):
        while True:
            response = await http.request(method, path, **content)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return response.raise_for_status()
            await asyncio.sleep(int(response.headers["retry-after"]))


async def story(url: str) -> dict[str, Any]:
    """Somebody registers, uploads a picture and sees it ready; what others may look up."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        email = f"upgrade.{os.urandom(8).hex()}@example.com"
        body = {"email": email, "name": "Ada", "password": PASSWORD}
        account = (await send(http, "POST", "/api/v1/users", json=body)).json()
        form = {"grant_type": "password", "username": email, "password": PASSWORD}
        token = (await send(http, "POST", "/api/v1/auth/token", data=form)).json()
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        jpeg = {**headers, "Content-Type": "image/jpeg"}
        made = await send(http, "POST", "/api/v1/images", headers=jpeg, content=picture())
        image = made.json()["image"]
        async with asyncio.timeout(60):
            while image["status"] != "ready":
                await asyncio.sleep(0.1)
                image = (await http.get(f"/api/v1/images/{image['id']}", headers=headers)).json()
    return {"account": account, "headers": headers, "image": image}


async def look_up(url: str, found: dict[str, Any]) -> None:
    """What one release has written, as the other shows it."""
    async with httpx.AsyncClient(base_url=url, timeout=30, headers=found["headers"]) as http:
        shown = await http.get(f"/api/v1/users/{found['account']['id']}")
        assert shown.json()["email"] == found["account"]["email"]
        assert (await http.get(f"/api/v1/images/{found['image']['id']}")).json() == found["image"]


@asynccontextmanager
async def running(laptop: Laptop, release: Release) -> AsyncIterator[str]:
    """Processes of the next release beside those that run; the URL of its api."""
    pids = {name.partition(".")[0]: row["pid"] for name, row in (await laptop.processes()).items()}
    async with AsyncExitStack() as stack:
        listeners = {
            name: stack.enter_context(listen_on_first_free((0,)))
            for name in ("users", "api", "api-internal", "m-users", "m-api", "m-worker")
        }
        url = {name: url_of(listener) for name, listener in listeners.items()}
        fd = {name: str(listener.fileno()) for name, listener in listeners.items()}
        environments = {
            "users": {"INTERNAL_FD": fd["users"]},
            "api": {
                "HTTP_FD": fd["api"],
                "INTERNAL_FD": fd["api-internal"],
                "USERS_URL": url["users"],
            },
            "worker": {"USERS_URL": url["users"], "API_URL": url["api-internal"]},
        }
        for service, changed in environments.items():
            management = {"MANAGEMENT_FD": fd[f"m-{service}"]}
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                service,
                env=release.environment(pids[service], **changed, **management),
                pass_fds=tuple(map(int, fd.values())),
                stdout=subprocess.DEVNULL,
            )
            stack.push_async_callback(process.wait)
            stack.callback(process.send_signal, signal.SIGINT)
        async with httpx.AsyncClient() as http, asyncio.timeout(60):
            for service in SCHEMAS:
                while True:
                    response = await http.get(f"{url[f'm-{service}']}/readyz", timeout=30)
                    if response.status_code == httpx.codes.OK:
                        break
                    await asyncio.sleep(0.1)
        yield url["api"]


async def test_a_migration_that_is_killed_midway_leaves_nothing_and_can_be_run_again(
    laptop, next_release, sql
):
    before = {service: await revision(sql, service) for service in SCHEMAS}
    for service in SCHEMAS:
        next_release.hold.touch()
        process = await start_migration(laptop, next_release, service)
        there = next_release.hold.with_suffix(".there")
        async with asyncio.timeout(60):
            while not there.exists():
                await asyncio.sleep(0.02)
        process.kill()
        await process.wait()
        there.unlink()
        next_release.hold.unlink()
        assert await revision(sql, service) == before[service]
    await story(laptop.endpoints["api"])
    for service in SCHEMAS:
        code, output = await migrate(laptop, next_release, service)
        assert code == 0, output
        assert f"{before[service]} -> {int(before[service]) + 1:04}" in output


async def test_both_releases_serve_people_at_once_and_each_shows_what_the_other_wrote(
    laptop, next_release
):
    this = laptop.endpoints["api"]
    async with running(laptop, next_release) as following:
        async with httpx.AsyncClient() as http:
            versions = [
                (await http.get(f"{url}/openapi.json")).json()["info"]["version"]
                for url in (this, following)
            ]
        assert versions == ["dev", "next"]
        stories = await asyncio.gather(*(story(url) for url in (this, following) * 3))
        for number, found in enumerate(stories):
            await look_up((following, this)[number % 2], found)


async def test_this_release_leaves_the_schema_of_the_next_one_as_it_is(laptop, tmp_path, sql):
    """What a way back does: the migration hook of the older release runs again."""
    for service in SCHEMAS:
        before = await revision(sql, service)
        code, output = await migrate(laptop, Release(tmp_path, tmp_path / "hold"), service)
        assert (code, await revision(sql, service)) == (0, before), output


async def test_a_contract_step_waits_until_the_last_older_process_has_ended(
    laptop, next_release, sql
):
    for service in SCHEMAS:
        next_release.add(service, CONTRACT)
        before = await revision(sql, service)
        code, output = await migrate(laptop, next_release, service)
        assert (code, await revision(sql, service)) == (1, before), output
        assert "upgrade them first" in output
        assert f"twelvefold-{service}@" in output
        assert "Traceback" not in output
    rows = (await laptop.processes()).items()
    pids = [row["pid"] for name, row in rows if name.partition(".")[0] in SCHEMAS]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # so that nothing comes back while we look
    try:
        await sql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE '%@%'"
        )
        for service in SCHEMAS:
            before = await revision(sql, service)
            code, output = await migrate(laptop, next_release, service)
            assert code == 0, output
            assert await revision(sql, service) > before
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
