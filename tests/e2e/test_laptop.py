"""`twelvefold up` and the other commands of the laptop stack, as processes."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from tests.running_suite import new_checkout
from tests.suite import INTERNAL, PUBLIC, SERVICES

from twelvefold.settings import process_environment

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).parent / "twelvefold"
PROCESSES = {f"{service}.1" for service in SERVICES} | {
    "postgres", "redis", "s3", "mail", "console", "twelvefold",
}  # fmt: skip
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The output of a command, and its exit code."""

    code: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Laptop:
    """A separate checkout with the installed services, without their sources."""

    checkout: Path

    @classmethod
    def create(cls, checkout: Path) -> Laptop:
        return cls(new_checkout(checkout))

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

    async def all_processes(self) -> list[psutil.Process]:
        """Return all processes of the stack with their children."""
        processes: list[psutil.Process] = []
        for row in (await self.processes()).values():
            process = psutil.Process(row["pid"])
            processes.append(process)
            if row["name"] != "twelvefold":
                processes += process.children(recursive=True)
        return processes

    @property
    def endpoints(self) -> Row:
        endpoints: Row = json.loads((self.checkout / ".twelvefold/endpoints.json").read_text())
        return endpoints


async def until(condition: Callable[[], object], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        await asyncio.sleep(0.1)


def have_ended(processes: list[psutil.Process]) -> bool:
    return not any(
        process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes
    )


def still_held(laptop: Laptop, ports: list[int]) -> list[int]:
    """Return the ports on which a process of this checkout, or an unknown one, listens.

    The edge uses the first free port from 8000 on, so another checkout may take the port as soon as
    it is free.
    """

    def is_of_another_checkout(pid: int | None) -> bool:
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
    return [one.laddr.port for one in listening if not is_of_another_checkout(one.pid)]


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
    """A running stack, started again if the test before stopped it."""
    if (await running.run("ps")).code != 0:
        await running.up()
    return running


async def wait_for(laptop: Laptop, name: str, condition: Callable[[Row], object]) -> Row:
    deadline = time.monotonic() + 40
    while not condition(row := (await laptop.processes())[name]):
        assert time.monotonic() < deadline, row
        await asyncio.sleep(0.1)
    return row


async def until_status(client: httpx.AsyncClient, status: int) -> httpx.Response:
    async with asyncio.timeout(40):
        while True:
            with suppress(httpx.TransportError):  # the connection of a killed process
                response = await client.get("/openapi.json")
                if response.status_code == status:
                    return response
            await asyncio.sleep(0.05)


async def wait_for_replacement(laptop: Laptop, name: str, pid: int) -> Row:
    deadline = time.monotonic() + 40
    while True:
        row = (await laptop.processes())[name]
        if row["state"] == "running" and row["pid"] != pid:
            return row
        assert time.monotonic() < deadline, row


async def test_every_url_is_listed(laptop) -> None:
    endpoints = laptop.endpoints
    assert set(endpoints) == {
        "api", "postgres", "redis", "s3", "mail", "console", "public", "internal",
        "management",
    }  # fmt: skip
    assert set(endpoints["public"]) == set(PUBLIC)
    assert set(endpoints["internal"]) == set(INTERNAL)
    assert set(endpoints["management"]) == set(SERVICES)
    async with httpx.AsyncClient() as client:
        for url in endpoints["management"].values():
            assert (await client.get(f"{url}/readyz")).status_code == 200
        assert "Twelvefold" in (await client.get(endpoints["console"])).text


async def test_every_process_is_listed_with_its_resources(laptop) -> None:
    processes = await laptop.processes()
    assert set(processes) == PROCESSES
    assert all(row["state"] == "running" and row["rss_bytes"] for row in processes.values())
    assert processes["api.1"]["requests"] is not None


async def test_a_second_up_prints_the_addresses_of_the_running_stack(laptop) -> None:
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
        items: list[Row] = []
        while not items:
            assert time.monotonic() < deadline, "no trace arrived"
            await asyncio.sleep(0.1)
            response = await client.get(f"{console}/api/requests", params={"q": path})
            items = response.json()["items"]
    assert (items[0]["service"], items[0]["status"]) == ("api", 401)


async def test_a_stack_starts_without_its_console(tmp_path_factory) -> None:
    laptop = Laptop.create(tmp_path_factory.mktemp("no-console"))
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


async def test_the_console_s_link_contains_its_token(laptop) -> None:
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


async def test_only_the_owner_can_read_secrets(laptop) -> None:
    state = laptop.checkout / ".twelvefold"
    for name in ("secrets.json", "demo.json", "endpoints.json", "run/console.json"):
        assert (state / name).stat().st_mode & 0o077 == 0


async def test_killed_processes_restart_on_the_same_addresses(laptop) -> None:
    before = await laptop.processes()
    killed = PROCESSES - {"twelvefold"}

    for name in killed:
        os.kill(before[name]["pid"], signal.SIGKILL)

    for name in killed:
        after = await wait_for_replacement(laptop, name, before[name]["pid"])
        assert after["url"] == before[name]["url"]


async def test_a_reload_refuses_no_connection(laptop) -> None:
    before = (await laptop.processes())["api.1"]["pid"]
    reloaded = asyncio.Event()
    statuses: list[int] = []

    async def send_requests() -> None:
        while not reloaded.is_set():
            async with httpx.AsyncClient(timeout=40) as client:
                # Not /health, which returns 503 while the new process starts.
                response = await client.get(f"{laptop.endpoints['api']}/openapi.json")
                statuses.append(response.status_code)

    async with asyncio.TaskGroup() as group:
        group.create_task(send_requests())
        (laptop.checkout / "shared/changed.py").write_text("# a change")
        await wait_for_replacement(laptop, "api.1", before)
        reloaded.set()

    assert set(statuses) == {200}


async def test_a_replacement_refuses_no_request_and_is_listed(laptop) -> None:
    before = await laptop.processes()
    replaced = asyncio.Event()
    statuses: list[int] = []

    async def send_requests() -> None:
        async with httpx.AsyncClient(timeout=40, base_url=laptop.endpoints["api"]) as client:
            while not replaced.is_set():
                # Not /health, which returns 503 while a process starts or drains.
                statuses.append((await client.get("/openapi.json")).status_code)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(send_requests())
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


async def test_an_unknown_service_cannot_be_replaced(laptop) -> None:
    outcome = await laptop.run("restart", "billing")
    assert (outcome.code, "no service 'billing'" in outcome.text) == (1, True)


async def test_a_service_is_scaled_out_and_in(laptop) -> None:
    out = await laptop.run("scale", "worker=2")
    assert out.code == 0, out.text
    assert (await laptop.processes())["worker.2"]["state"] == "running"

    await laptop.run("scale", "worker=1")
    assert "worker.2" not in await laptop.processes()


async def test_a_backup_is_restored_while_no_service_runs(laptop, tmp_path) -> None:
    printed = await laptop.run("env")
    operator = dict(
        line.removeprefix("export ").split("=", 1) for line in printed.text.splitlines()
    )
    operator = {name: shlex.split(value)[0] for name, value in operator.items()}
    backup = str(tmp_path / "backup")
    made = await laptop.run("backup", backup, **operator)
    assert made.code == 0, made.text
    refused = await laptop.run("restore", backup, "--replace", "--yes", **operator)
    assert (refused.code, "stop every process" in refused.text) == (1, True)

    await laptop.run("scale", *(f"{name}=0" for name in SERVICES))
    back = await laptop.run("restore", backup, "--replace", "--yes", **operator)
    assert back.code == 0, back.text
    out = await laptop.run("scale", *(f"{name}=1" for name in SERVICES))
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
    assert "JWT_SIGNING_KEYS" not in names, "only users has the signing keys"
    assert (await laptop.run("env", "billing")).code == 1


async def test_logs_are_readable_by_service(laptop) -> None:
    outcome = await laptop.run("logs", "users")
    assert "users.1" in outcome.text
    assert "worker.1" not in outcome.text


async def test_a_killed_supervisor_leaves_no_process(laptop) -> None:
    processes = await laptop.all_processes()
    ports = [int(laptop.endpoints[name].rpartition(":")[2]) for name in ("api", "s3", "mail")]

    os.kill((await laptop.processes())["twelvefold"]["pid"], signal.SIGKILL)

    await until(lambda: have_ended(processes))
    assert not still_held(laptop, ports)


async def test_the_stack_starts_again_after_a_killed_supervisor(laptop) -> None:
    assert set(await laptop.processes()) == PROCESSES


async def test_down_leaves_no_process_and_no_port(laptop) -> None:
    processes = await laptop.all_processes()
    ports = [int(laptop.endpoints[name].rpartition(":")[2]) for name in ("api", "s3", "mail")]
    assert set(still_held(laptop, ports)) == set(ports)

    outcome = await laptop.run("down")

    assert outcome.code == 0
    assert have_ended(processes)
    assert not still_held(laptop, ports)
    assert (await laptop.run("ps")).code == 1


async def test_broken_code_leaves_the_old_process_running(tmp_path) -> None:
    laptop = Laptop.create(tmp_path / "laptop")
    sources = laptop.checkout / "services/api/src"
    shutil.copytree(ROOT / "services/api/src", sources)
    app = sources / "api/app.py"
    working = app.read_text()
    try:
        started = await laptop.run("up", "--detach", PYTHONPATH=str(sources))
        assert started.code == 0, started.text
        before = (await laptop.processes())["api.1"]

        app.write_text(f"{working}\nan error\n")

        failed = await wait_for(laptop, "api.1", lambda row: row["reload_error"])
        assert "SyntaxError" in failed["reload_error"]
        assert failed["pid"] == before["pid"]
        async with httpx.AsyncClient(timeout=20, base_url=laptop.endpoints["api"]) as client:
            assert (await client.get("/health")).status_code == 200

            # Without a process the reason is the response.
            os.kill(before["pid"], signal.SIGKILL)
            response = await until_status(client, 503)
            assert response.headers["content-type"] == "application/problem+json"
            assert "SyntaxError" in response.json()["detail"]

            app.write_text(working)
            await wait_for(laptop, "api.1", lambda row: not row["reload_error"])
            await until_status(client, 200)
    finally:
        await laptop.run("reset", "--yes")


async def test_a_service_without_processes_says_so(laptop) -> None:
    await laptop.run("scale", "api=0")
    async with httpx.AsyncClient(timeout=5) as client:
        response = await client.get(f"{laptop.endpoints['api']}/health")
    assert response.status_code == 503
    assert "twelvefold scale api=1" in response.json()["detail"]
    assert (await laptop.run("scale", "api=1")).code == 0


async def test_the_settings_of_the_checkout_are_read_and_named(tmp_path) -> None:
    laptop = Laptop.create(tmp_path / "laptop")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (laptop.checkout / ".env").write_text(f"LOG_LEVEL=WARNING\nPORT={port}\n")
    try:
        started = await laptop.run("up", "--detach")
        assert started.code == 0, started.text
        assert ".env sets LOG_LEVEL, PORT" in started.text
        assert laptop.endpoints["api"] == f"http://127.0.0.1:{port}"
        shown = json.loads((await laptop.run("config", "show", "api", "--json")).text)
        assert shown["LOG_LEVEL"] == "WARNING"
    finally:
        await laptop.run("reset", "--yes")


async def test_admin_tasks_use_the_running_suite(laptop) -> None:
    listed = await laptop.run("jobs", "list", "--json")
    assert listed.code == 0, listed.text
    assert json.loads(listed.text)[0]["kind"] == "email.send"
    promoted = await laptop.run("users", "create-admin", "demo@example.com")
    assert "demo@example.com is an admin" in promoted.text


@pytest.mark.parametrize("command", ["ps", "logs -n 500 api"])
async def test_a_reader_that_leaves_early_is_no_error(laptop, command) -> None:
    process = await asyncio.create_subprocess_shell(
        f"set -o pipefail; {COMMAND} {command} | head -n 1",
        executable="/bin/bash",
        cwd=laptop.checkout,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, output.decode()
    assert len(output.decode().splitlines()) == 1


async def test_unknown_logs_name_those_that_there_are(laptop) -> None:
    outcome = await laptop.run("logs", "nosuch")
    assert outcome.code == 1
    assert "no logs of nosuch; there are: api, api.1, " in outcome.text


async def test_a_folder_that_cannot_hold_data_is_named(tmp_path) -> None:
    laptop = Laptop.create(tmp_path / "laptop")
    (laptop.checkout / ".twelvefold").write_text("where a folder should be")
    outcome = await laptop.run("up", "--detach")
    assert outcome.code == 1
    assert f"keeps its data in {laptop.checkout / '.twelvefold'}" in outcome.text.replace("\n", "")
    assert "Traceback" not in outcome.text


async def test_invalid_settings_are_reported_and_end_the_start(running) -> None:
    await running.run("down")
    outcome = await running.run("up", "--detach", DATABASE_POOL_SIZ="3")
    assert outcome.code == 1
    assert "DATABASE_POOL_SIZE" in outcome.text
    assert "Traceback" not in outcome.text
    assert (await running.run("ps")).code == 1
