"""`twelvefold up` itself: what it starts stays up, and what it ends is gone."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from twelvefold.settings import process_environment

COMMAND = Path(sys.executable).parent / "twelvefold"
PROCESSES = {
    "api.1", "users.1", "worker.1", "postgres", "redis", "s3", "mail", "console", "twelvefold",
}  # fmt: skip
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The output of a command, and its exit code."""

    code: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Laptop:
    """A checkout of its own: of the installed services, without their sources."""

    checkout: Path

    @classmethod
    def create(cls, checkout: Path) -> Laptop:
        for folder in (
            "libs/twelvefold/src/twelvefold",
            "services",
        ):  # by which a checkout is known
            (checkout / folder).mkdir(parents=True)
        return cls(checkout)

    async def run(self, *arguments: str, **settings: str) -> Outcome:
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            *arguments,
            cwd=self.checkout,
            env={**process_environment(), **settings},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 100)
        return Outcome(process.returncode, output.decode())

    async def up(self) -> None:
        outcome = await self.run("up", "--detach")
        assert outcome.code == 0, outcome.text

    async def processes(self) -> dict[str, Row]:
        rows = json.loads((await self.run("ps", "--json")).text)
        return {row["name"]: row for row in rows}

    async def family(self) -> list[psutil.Process]:
        """Every process of the stack, with its children."""
        found: list[Row] = []
        for row in (await self.processes()).values():
            process = psutil.Process(row["pid"])
            found += [process]
            if row["name"] != "twelvefold":
                found += process.children(recursive=True)
        return found

    @property
    def endpoints(self) -> Row:
        found: Row = json.loads((self.checkout / ".twelvefold/endpoints.json").read_text())
        return found


async def until(condition: Callable[[], object], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.1)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(
        process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes
    )


def still_held(laptop: Laptop, ports: list[int]) -> list[int]:
    """Ports on which this checkout or an unknown process listens.

    The edge's port is the next free one from 8000 on: another checkout's may have it a moment
    after it was given back.
    """

    def is_anothers(pid: int | None) -> bool:
        try:
            return pid is not None and not Path(psutil.Process(pid).cwd()).is_relative_to(
                laptop.checkout
            )
        except psutil.Error:
            return False

    listening = [
        connection
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port in ports
    ]
    return [found.laddr.port for found in listening if not is_anothers(found.pid)]


@pytest.fixture(scope="module")
async def running(tmp_path_factory) -> AsyncIterator[Laptop]:
    laptop = Laptop.create(tmp_path_factory.mktemp("laptop"))
    try:
        await laptop.up()
        yield laptop
    finally:
        await laptop.run("reset", "--yes")


@pytest.fixture
async def laptop(running: Laptop) -> Laptop:
    """Up and complete, whatever the test before did to it."""
    if (await running.run("ps")).code != 0:
        await running.up()
    return running


async def came_back(laptop: Laptop, name: str, pid: int) -> Row:
    deadline = time.monotonic() + 40
    while True:
        row = (await laptop.processes())[name]
        if row["state"] == "running" and row["pid"] != pid:
            return row
        assert time.monotonic() < deadline, row


async def test_every_url_is_named(laptop) -> None:
    endpoints = laptop.endpoints
    assert set(endpoints) == {
        "api", "postgres", "redis", "s3", "mail", "console", "internal", "management",
    }  # fmt: skip
    assert set(endpoints["internal"]) == {"api", "users"}
    assert set(endpoints["management"]) == {"api", "users", "worker"}
    async with httpx.AsyncClient() as client:
        for url in endpoints["management"].values():
            assert (await client.get(f"{url}/readyz")).status_code == 200
        assert "Twelvefold" in (await client.get(endpoints["console"])).text


async def test_every_process_is_shown_with_what_it_takes(laptop) -> None:
    processes = await laptop.processes()
    assert set(processes) == PROCESSES
    assert all(row["state"] == "running" and row["rss_bytes"] for row in processes.values())
    assert processes["api.1"]["requests"] is not None


async def test_a_second_up_says_where_the_first_is(laptop) -> None:
    outcome = await laptop.run("up")
    assert outcome.code == 0
    assert "already running" in outcome.text
    assert laptop.endpoints["api"] in outcome.text


async def test_a_request_s_trace_reaches_the_console(laptop) -> None:
    console, _, token = (await laptop.run("console")).text.strip().partition("/#token=")
    async with httpx.AsyncClient(timeout=20, headers={"X-Console-Token": token}) as client:
        path = f"/api/v1/users/{uuid4()}"
        assert (await client.get(laptop.endpoints["api"] + path)).status_code == 401
        deadline = time.monotonic() + 20
        found: list[Row] = []
        while not found:
            assert time.monotonic() < deadline, "no trace came"
            await asyncio.sleep(0.1)
            response = await client.get(f"{console}/api/requests", params={"q": path})
            found = response.json()["items"]
    assert (found[0]["service"], found[0]["status"]) == ("api", 401)


async def test_a_console_that_cannot_start_hinders_nothing(tmp_path_factory) -> None:
    laptop = Laptop.create(tmp_path_factory.mktemp("pageless"))
    state = laptop.checkout / ".twelvefold"
    state.mkdir()
    (state / "console").write_text("where a folder should be")
    try:
        outcome = await laptop.run("up", "--detach")
        assert outcome.code == 0, outcome.text
        assert "console did not start" in outcome.text
        async with httpx.AsyncClient(timeout=20) as client:
            assert (await client.get(f"{laptop.endpoints['api']}/health")).status_code == 200
    finally:
        await laptop.run("reset", "--yes")


async def test_the_console_s_link_can_be_asked_for(laptop) -> None:
    link = (await laptop.run("console")).text.strip()
    url, _, token = link.partition("/#token=")
    assert url == laptop.endpoints["console"]
    headers = {"Origin": url, "X-Console-Token": token}
    async with httpx.AsyncClient() as client:
        assert (await client.post(f"{url}/api/token", headers=headers)).status_code == 204


async def test_the_demo_account_can_log_in(laptop) -> None:
    demo = json.loads((laptop.checkout / ".twelvefold/demo.json").read_text())
    form = {"grant_type": "password", "username": demo["email"], "password": demo["password"]}
    async with httpx.AsyncClient(timeout=20) as client:
        response = await client.post(f"{laptop.endpoints['api']}/api/v1/auth/token", data=form)
    assert response.status_code == 200


async def test_secrets_are_their_owner_s_alone(laptop) -> None:
    state = laptop.checkout / ".twelvefold"
    for name in ("secrets.json", "demo.json", "endpoints.json", "run/console.json"):
        assert (state / name).stat().st_mode & 0o077 == 0


async def test_what_is_killed_comes_back_where_it_was(laptop) -> None:
    before = await laptop.processes()
    killed = PROCESSES - {"twelvefold"}

    for name in killed:
        os.kill(before[name]["pid"], signal.SIGKILL)

    for name in killed:
        after = await came_back(laptop, name, before[name]["pid"])
        assert after["url"] == before[name]["url"]


async def test_a_reload_refuses_no_connection(laptop) -> None:
    before = (await laptop.processes())["api.1"]["pid"]
    reloaded = asyncio.Event()
    statuses: list[int] = []

    async def ask() -> None:
        while not reloaded.is_set():
            async with httpx.AsyncClient(timeout=40) as client:
                # Not /health, which says 503 for as long as the new process starts.
                response = await client.get(f"{laptop.endpoints['api']}/openapi.json")
                statuses.append(response.status_code)

    async with asyncio.TaskGroup() as group:
        group.create_task(ask())
        (laptop.checkout / "libs/twelvefold/src/twelvefold/changed.py").write_text("# a change")
        await came_back(laptop, "api.1", before)
        reloaded.set()

    assert set(statuses) == {200}


async def test_a_replaced_process_refuses_nobody_and_the_stack_knows_the_new_one(laptop) -> None:
    before = await laptop.processes()
    replaced = asyncio.Event()
    statuses: list[int] = []

    async def ask() -> None:
        async with httpx.AsyncClient(timeout=40, base_url=laptop.endpoints["api"]) as kept_alive:
            while not replaced.is_set():
                # Not /health, which says 503 for as long as a process starts or drains.
                statuses.append((await kept_alive.get("/openapi.json")).status_code)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(ask())
        outcome = await laptop.run("restart", "api", "users")
        replaced.set()

    assert outcome.code == 0, outcome.text
    assert set(statuses) == {200}
    after = await laptop.processes()
    assert set(after) == PROCESSES
    for name in ("api.1", "users.1"):
        assert after[name]["pid"] != before[name]["pid"]
        assert after[name]["state"] == "running"
        assert laptop.endpoints["management"][name.partition(".")[0]] == after[name]["url"]


async def test_a_service_that_is_not_there_cannot_be_replaced(laptop) -> None:
    outcome = await laptop.run("restart", "billing")
    assert (outcome.code, "no service 'billing'" in outcome.text) == (1, True)


async def test_a_service_is_scaled_out_and_in(laptop) -> None:
    out = await laptop.run("scale", "worker=2")
    assert out.code == 0, out.text
    assert (await laptop.processes())["worker.2"]["state"] == "running"

    await laptop.run("scale", "worker=1")
    assert "worker.2" not in await laptop.processes()


async def test_what_was_backed_up_is_restored_while_no_process_runs(laptop, tmp_path) -> None:
    printed = await laptop.run("env")
    operator = dict(
        line.removeprefix("export ").split("=", 1) for line in printed.text.splitlines()
    )
    operator = {name: shlex.split(value)[0] for name, value in operator.items()}
    backup = str(tmp_path / "backup")
    made = await laptop.run("backup", backup, **operator)
    assert made.code == 0, made.text
    refused = await laptop.run("restore", backup, "--replace", "--yes", **operator)
    assert (refused.code, "end every process" in refused.text) == (1, True)

    await laptop.run("scale", "api=0", "users=0", "worker=0")
    back = await laptop.run("restore", backup, "--replace", "--yes", **operator)
    assert back.code == 0, back.text
    out = await laptop.run("scale", "users=1", "api=1", "worker=1")
    assert out.code == 0, out.text

    demo = json.loads((laptop.checkout / ".twelvefold/demo.json").read_text())
    form = {"grant_type": "password", "username": demo["email"], "password": demo["password"]}
    async with httpx.AsyncClient(timeout=20) as client:
        response = await client.post(f"{laptop.endpoints['api']}/api/v1/auth/token", data=form)
    assert response.status_code == 200


async def test_the_environment_of_a_service_is_printed_for_a_shell(laptop) -> None:
    printed = await laptop.run("env", "worker")
    names = {line.removeprefix("export ").partition("=")[0] for line in printed.text.splitlines()}
    assert {"DATABASE_URL", "SMTP_URL", "USERS_URL"} <= names
    assert "JWT_SIGNING_KEYS" not in names, "it is users' alone"
    assert (await laptop.run("env", "billing")).code == 1


async def test_logs_are_readable_by_service(laptop) -> None:
    outcome = await laptop.run("logs", "users")
    assert "users.1" in outcome.text
    assert "worker.1" not in outcome.text


async def test_a_killed_supervisor_leaves_nothing_behind(laptop) -> None:
    family = await laptop.family()
    ports = [int(laptop.endpoints[name].rpartition(":")[2]) for name in ("api", "s3", "mail")]

    os.kill((await laptop.processes())["twelvefold"]["pid"], signal.SIGKILL)

    await until(lambda: gone(family))
    assert not still_held(laptop, ports)


async def test_it_comes_up_again_after_that(laptop) -> None:
    assert set(await laptop.processes()) == PROCESSES


async def test_down_leaves_no_process_and_no_port(laptop) -> None:
    family = await laptop.family()
    ports = [int(laptop.endpoints[name].rpartition(":")[2]) for name in ("api", "s3", "mail")]
    assert set(still_held(laptop, ports)) == set(ports)

    outcome = await laptop.run("down")

    assert outcome.code == 0
    assert gone(family)
    assert not still_held(laptop, ports)
    assert (await laptop.run("ps")).code == 1


async def test_settings_at_fault_are_named_and_end_the_start(running) -> None:
    await running.run("down")
    outcome = await running.run("up", "--detach", DATABASE_POOL_SIZ="3")
    assert outcome.code == 1
    assert "DATABASE_POOL_SIZE" in outcome.text
    assert "Traceback" not in outcome.text
    assert (await running.run("ps")).code == 1
