"""What the console changes: processes, their number and log level, queues. No other page can."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.asgi_server import open_asgi_server
from tests.integration.dev.console.conftest import REFUSED, TOKEN_HEADER

from twelvefold.http.management import create_management_app
from twelvefold.jobs import PeriodicJob
from twelvefold.observability.log_level import log_level
from twelvefold.service.health import Health
from twelvefold.settings import ServiceSettings
from twelvefold_dev.console.app import ENDPOINTS

CHANGES = [
    (
        method,
        route.path.replace("{job_id:uuid}", str(UUID(int=1))).replace("{", "").replace("}", ""),
    )
    for group in ENDPOINTS
    for route in group(None).routes  # type: ignore[arg-type]  # the table needs no state
    for method in route.methods or ()
    if method not in ("GET", "HEAD")
]


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_no_other_page_and_nobody_without_the_token_changes_anything(
    console, method, path
) -> None:
    own = console.write_headers
    for headers in (
        {**TOKEN_HEADER},
        {**TOKEN_HEADER, "Origin": "http://evil.example"},
        {**TOKEN_HEADER, "Origin": "null"},
        {**TOKEN_HEADER, **own, "Host": "evil.example"},
        {**own, "X-Console-Token": "wrong"},
    ):
        response = await console.http.request(method, path, headers=headers)
        assert response.status_code in (401, 403, 421), headers
    assert console.commands == []


def test_every_change_is_among_the_tested_ones() -> None:
    assert len(CHANGES) > 15
    assert ("POST", "/api/processes/process/action") in CHANGES


async def test_a_read_changes_nothing(console) -> None:
    for path in ("processes/api.1/stop", "services/api/scale", "jobs/retry"):
        response = await console.http.get(f"/api/{path}")
        assert response.status_code in (404, 405), path
    assert console.commands == []


@pytest.mark.parametrize("action", ["start", "stop", "restart"])
async def test_a_process_is_changed_by_the_supervisor(start_console, action) -> None:
    console = await start_console()
    response = await console.write("POST", f"processes/redis/{action}")
    assert response.status_code == 204
    assert console.commands == [{"command": "change", "process": "redis", "action": action}]


async def test_a_refusal_of_the_supervisor_is_shown(console) -> None:
    response = await console.write("POST", f"processes/{REFUSED}/stop")
    assert response.status_code == 409
    assert response.json()["detail"] == "the supervisor refuses."


async def test_a_service_is_scaled_within_its_bounds(start_console) -> None:
    console = await start_console()
    for count in ("", "-1", "17", "x"):
        response = await console.write("POST", "services/api/scale", count=count)
        assert response.status_code == 400
    assert console.commands == []
    assert (await console.write("POST", "services/api/scale", count=0)).status_code == 204
    assert console.commands == [{"command": "scale", "service": "api", "count": 0}]


def worker(schedule: Any = ()) -> Any:
    """The management app of a process that works on the queue `default`."""
    settings = ServiceSettings(ENVIRONMENT="testing")
    return create_management_app(
        name="worker", settings=settings, health=Health(), queue="default", schedule=schedule
    )


async def add_worker(console, url: str) -> None:
    """Let the supervisor report a running worker, and wait until the console knows it."""
    console.processes.append({"name": "worker.1", "pid": 8, "state": "running", "url": url})
    await console.write("POST", "processes/worker.1/start")  # which polls
    assert [one["name"] for one in (await console.get("stack"))["processes"]] == ["worker.1"]


async def test_a_log_level_is_overridden_and_restored(start_console) -> None:
    console = await start_console()
    log_level.configure("INFO")
    async with open_asgi_server(worker()) as url:
        await add_worker(console, url)
        response = await console.write("POST", "processes/worker.1/log-level", level="DEBUG")
        assert (response.json()["level"], log_level.state["level"]) == ("DEBUG", "DEBUG")
        assert response.json()["until"]
        response = await console.write("POST", "processes/worker.1/log-level")
        assert (response.json()["level"], log_level.state["level"]) == ("INFO", "INFO")
        for process, level, status in (("worker.1", "LOUD", 400), ("redis", "DEBUG", 404)):
            path = f"processes/{process}/log-level"
            assert (await console.write("POST", path, level=level)).status_code == status


# Queues

INSERT = """
INSERT INTO jobs.jobs (id, kind, queue, payload, status, run_at)
VALUES ($1, $2, 'default', '{}', $3, now() + $4)
"""


async def insert(jobs, status: str, kind: str = "email.send", due_in: int = -5) -> None:
    await jobs.execute(INSERT, uuid4(), kind, status, timedelta(seconds=due_in))


async def test_a_queue_shows_its_depth_workers_and_schedule(start_console, jobs) -> None:
    console = await start_console()
    for status, due_in in (("queued", -60), ("failed", 60), ("running", -5), ("dead", -5)):
        await insert(jobs, status, due_in=due_in)
    await insert(jobs, "succeeded", kind="jobs.prune")
    schedule = [PeriodicJob("jobs.prune", every=timedelta(hours=1), at=timedelta(minutes=17))]
    async with open_asgi_server(worker(schedule)) as url:
        await add_worker(console, url)
        found = await console.get("queues")
    (depth,) = found["depth"]
    counts = {name: depth[name] for name in ("due", "later", "running", "failed", "dead")}
    assert counts == {"due": 1, "later": 1, "running": 1, "failed": 1, "dead": 1}
    assert depth["oldest_due_seconds"] >= 60
    (shown,) = found["workers"]
    assert (shown["process"], shown["queue"], shown["pausable"]) == ("worker.1", "default", True)
    (periodic,) = found["schedule"]
    assert (periodic["kind"], periodic["last"]["status"]) == ("jobs.prune", "succeeded")
    assert ":17:00" in periodic["next"]


async def test_a_pause_stops_the_processes_of_the_queue_and_its_end_starts_them(
    start_console, jobs
) -> None:
    console = await start_console()
    response = await console.write("POST", "queues/default/pause")
    assert response.status_code == 409  # no worker is known
    async with open_asgi_server(worker()) as url:
        await add_worker(console, url)
        await console.get("queues")
        console.commands.clear()
        for action in ("pause", "resume"):
            assert (await console.write("POST", f"queues/default/{action}")).status_code == 204
    assert [one["action"] for one in console.commands] == ["stop", "start"]
    assert {one["process"] for one in console.commands} == {"worker.1"}


async def test_jobs_of_a_state_and_a_kind_are_retried_together(console, jobs) -> None:
    for _ in range(3):
        await insert(jobs, "dead")
    await insert(jobs, "dead", kind="image.process")
    await insert(jobs, "succeeded")
    response = await console.write("POST", "jobs/retry", status="dead", kind="email.send")
    assert response.json() == {"retried": 3}
    left = await jobs.fetch("SELECT kind, status FROM jobs.jobs WHERE status <> 'queued'")
    assert {tuple(row) for row in left} == {("image.process", "dead"), ("email.send", "succeeded")}
    assert (await console.write("POST", "jobs/retry", status="dead")).json() == {"retried": 1}
    for status in ("", "succeeded", "running", "queued"):
        assert (await console.write("POST", "jobs/retry", status=status)).status_code == 400


async def test_retries_of_many_jobs_are_bounded(console, jobs) -> None:
    await jobs.execute(
        "INSERT INTO jobs.jobs (id, kind, payload, status) "
        "SELECT gen_random_uuid(), 'email.send', '{}', 'dead' FROM generate_series(1, 510)"
    )
    async with asyncio.timeout(20):
        assert (await console.write("POST", "jobs/retry", status="dead")).json() == {"retried": 500}
        assert (await console.write("POST", "jobs/retry", status="dead")).json() == {"retried": 10}
