"""The JSON API of the page over real HTTP."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import httpx
import pytest
from tests.integration.dev.console.conftest import DATABASE_PASSWORD, TOKEN_HEADER
from tests.spans import new_trace_id, span

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"


async def test_a_request_is_listed_with_its_root_cause(console) -> None:
    root = span("GET /api/v1/slow", ms=900, http__route="/api/v1/slow-one")
    slow = span("SELECT", parent=root, at=10, ms=880, db__query__text="SELECT pg_sleep(1)")
    await console.send(root, slow)
    (row,) = (await console.get("requests", q="slow-one >500ms"))["items"]
    assert row["culprit"]["span_id"] == slow.span_id
    overview = await console.get("overview")
    assert row["trace_id"] in [one["trace_id"] for one in overview["slowest"]]


async def test_a_trace_contains_its_log_lines(console) -> None:
    root = span()
    await console.send(root)
    console.log(
        "api.1", time="2026-11-23T19:13:02Z", level="info", event="mine", trace_id=root.trace_id
    )
    console.log("users.1", time="2026-11-23T19:13:01Z", event="mine, too", trace_id=root.trace_id)
    console.log("api.1", time="2026-11-23T19:13:02Z", event="not mine", trace_id=new_trace_id())
    found = await console.get(f"traces/{root.trace_id}")
    assert [line["event"] for line in found["logs"]] == ["mine, too", "mine"]


async def test_a_list_and_a_trace_name_the_stored_runs(console) -> None:
    root = span()
    await console.send(root)
    listed = await console.get("requests")
    trace = await console.get(f"traces/{root.trace_id}")
    for found in (listed, trace):
        assert found["run"] == trace["summary"]["run"]
        assert found["run"] in [run["run"] for run in found["runs"]]


async def test_a_trace_is_exported_as_a_file_of_otlp_json(console) -> None:
    root = span()
    await console.send(root, span("SELECT", parent=root))
    response = await console.http.get(f"/api/traces/{root.trace_id}/otlp")
    assert response.headers["content-type"] == "application/json"
    name = f"trace-{root.trace_id}.json"
    assert response.headers["content-disposition"] == f"attachment; filename={name}"
    listed = [one for of in response.json()["resourceSpans"] for one in of["scopeSpans"]]
    names = [one["name"] for of_scope in listed for one in of_scope["spans"]]
    assert sorted(names) == ["GET /things", "SELECT"]


@pytest.mark.parametrize(
    "path",
    [
        "requests?limit=0",
        "requests?limit=201",
        "requests?limit=-1",
        "requests?limit=1e9",
        "requests?after=yesterday",
        "requests?since=99999999999999999999-1",
        "requests?kind=none",
        "requests?order=random",
        "jobs?limit=x",
        "logs?limit=501",
    ],
)
async def test_an_invalid_parameter_is_refused(console, path) -> None:
    response = await console.http.get(f"/api/{path}")
    assert response.status_code == 400
    assert response.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/traces/none",
        f"/api/traces/{'0' * 32}",
        f"/api/traces/{'0' * 32}/otlp",
        "/api/jobs/0198c5f0-7b1c-7a52-9d0e-4a6c2f1b8e11",
        "/api/jobs/none",
        "/api/mails/none.eml",
        "/api/mails/..%2Fsecrets.json",
        "/api/mails/000009-x.eml/frame",
        "/static/../config.py",
        "/static/%2e%2e/config.py",
        "/none",
    ],
)
async def test_what_is_not_there_is_not_found(console, path) -> None:
    response = await console.http.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


async def test_markup_in_data_is_returned_as_text(console) -> None:
    root = span(SCRIPT, http__route=SCRIPT)
    await console.send(root)
    console.log("api.1", time="2026-11-23T19:13:02Z", event=SCRIPT, trace_id=root.trace_id)
    response = await console.http.get(f"/api/traces/{root.trace_id}")
    assert response.headers["content-type"] == "application/json"
    assert response.json()["trace"]["spans"][0]["name"] == SCRIPT


async def test_the_html_of_an_email_is_served_with_a_sandbox_policy(console) -> None:
    name = "000001-ada@example.com.eml"
    console.mail(name, f"Subject: {SCRIPT}\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>{SCRIPT}")
    frame = await console.http.get(f"/api/mails/{name}/frame")
    policy = frame.headers["content-security-policy"]
    assert policy.startswith("sandbox ")
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert "default-src 'none'" in policy
    assert "img-src data:" in policy
    assert "http" not in policy
    (listed,) = (await console.get("mails"))["items"]
    assert listed["subject"] == SCRIPT


async def test_an_attachment_is_served_as_a_download(console) -> None:
    name = "000002-ada@example.com.eml"
    attached = (
        "Content-Type: text/html\r\n"
        'Content-Disposition: attachment; filename="a.html"\r\n\r\n<script>1</script>'
    )
    console.mail(name, attached)
    (attachment,) = (await console.get(f"mails/{name}"))["attachments"]
    response = await console.http.get(f"/api/mails/{name}/attachments/{attachment['number']}")
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"].startswith("attachment")


async def test_secrets_are_returned_nowhere(console) -> None:
    planted = "planted-hunter2"
    root = span(f"GET /?token={planted}", password=planted, error=f"E: secret={planted}")
    await console.send(root)
    console.log(
        "api.1", time="2026-11-23T19:13:02Z", event="x", trace_id=root.trace_id, token=planted
    )
    (console.checkout.logs / "postgres.log").write_text(f"LOG: postgres://a:{planted}@host/db\n")
    for path in (
        "overview", "stack", "requests", "logs", "logs?source=postgres", f"traces/{root.trace_id}",
    ):  # fmt: skip
        response = await console.http.get(f"/api/{path}")
        assert response.status_code == 200
        assert planted not in response.text
        assert DATABASE_PASSWORD not in response.text


# Jobs

INSERT = """
INSERT INTO jobs.jobs (id, kind, payload, status, errors, error, trace_context, attempts)
VALUES ($1, $2, '{"user_id": "u-1"}', $3, $4, $5, $6, 2)
"""


async def insert_job(jobs, status: str, **more: str) -> UUID:
    job_id = uuid4()
    errors = [{"at": "2026-11-23T19:13:02Z", "claim_no": n, "error": f"E: {n}"} for n in (1, 2)]
    carrier = {"traceparent": f"00-{more.get('trace', '1' * 32)}-{'2' * 16}-01"}
    await jobs.execute(
        INSERT, job_id, more.get("kind", "email.send"), status,
        json.dumps(errors), "E: 2", json.dumps(carrier),
    )  # fmt: skip
    return job_id


async def test_a_job_is_shown_with_every_error_and_its_trace(console, jobs) -> None:
    job_id = await insert_job(jobs, "dead", trace="a" * 32)
    (row,) = (await console.get("jobs", status="dead"))["items"]
    assert (row["id"], row["kind"], row["trace_id"]) == (str(job_id), "email.send", "a" * 32)
    job = await console.get(f"jobs/{job_id}")
    assert [one["error"] for one in job["errors"]] == ["E: 1", "E: 2"]
    assert job["payload"] == {"user_id": "u-1"}


async def test_jobs_are_counted_and_filtered_by_kind_and_status(console, jobs) -> None:
    for status in ("dead", "queued", "queued"):
        await insert_job(jobs, status)
    await insert_job(jobs, "queued", kind="image.process")
    found = await console.get("jobs", status="queued", kind="email.send")
    assert len(found["items"]) == 2
    assert {(one["kind"], one["status"]): one["jobs"] for one in found["counts"]} == {
        ("email.send", "dead"): 1,
        ("email.send", "queued"): 2,
        ("image.process", "queued"): 1,
    }


@pytest.mark.parametrize(
    ("before", "action", "after"),
    [
        ("dead", "retry", "queued"),
        ("rejected", "retry", "queued"),
        ("queued", "cancel", "cancelled"),
    ],
)
async def test_a_job_is_retried_and_cancelled(console, jobs, before, action, after) -> None:
    job_id = await insert_job(jobs, before)
    response = await console.http.post(
        f"/api/jobs/{job_id}/{action}", headers=console.write_headers
    )
    assert response.status_code == 200
    assert await jobs.fetchval("SELECT status FROM jobs.jobs WHERE id = $1", job_id) == after


async def test_a_cancel_of_a_running_job_is_published_to_its_worker(
    console, jobs, redis_url
) -> None:
    import redis.asyncio

    from twelvefold.jobs.channels import CANCEL_CHANNEL

    job_id = await insert_job(jobs, "running")
    async with redis.asyncio.from_url(redis_url) as client, client.pubsub() as listening:
        await listening.subscribe(CANCEL_CHANNEL)
        await listening.get_message(timeout=5)
        await console.http.post(f"/api/jobs/{job_id}/cancel", headers=console.write_headers)
        async with asyncio.timeout(10):
            while (received := await listening.get_message(ignore_subscribe_messages=True)) is None:
                await asyncio.sleep(0.01)
    assert received["data"].decode() == str(job_id)
    assert await jobs.fetchval("SELECT cancel_requested FROM jobs.jobs WHERE id = $1", job_id)


@pytest.mark.parametrize(("status", "action"), [("succeeded", "retry"), ("succeeded", "cancel")])
async def test_an_action_that_the_status_does_not_allow_is_a_conflict(
    console, jobs, status, action
) -> None:
    job_id = await insert_job(jobs, status)
    response = await console.http.post(
        f"/api/jobs/{job_id}/{action}", headers=console.write_headers
    )
    assert response.status_code == 409
    assert status in response.json()["detail"]


async def test_other_actions_on_a_job_are_not_found(console, jobs) -> None:
    job_id = await insert_job(jobs, "dead")
    response = await console.http.post(f"/api/jobs/{job_id}/delete", headers=console.write_headers)
    assert response.status_code == 404
    response = await console.http.post(f"/api/jobs/{uuid4()}/retry", headers=console.write_headers)
    assert response.status_code == 404


async def test_unavailable_jobs_are_reported(start_console) -> None:
    console = await start_console(jobs_url="postgresql://worker_app:x@127.0.0.1:9/none")
    response = await console.http.get("/api/jobs")
    assert response.status_code == 503
    assert "cannot be read" in response.json()["detail"]
    assert "jobs_error" in await console.get("overview")


# Processes, metrics, live updates


async def test_processes_are_shown_as_the_supervisor_reports_them(start_console) -> None:
    console = await start_console()
    console.processes.extend(
        [
            {"name": "postgres", "pid": 7, "state": "running", "url": "postgresql://x"},
            {"name": "users.1", "pid": 8, "state": "running", "url": "http://127.0.0.1:9"},
        ]
    )
    expected = [("users.1", "silent"), ("postgres", None)]  # the services first
    async with asyncio.timeout(30), open_events(console) as changes:
        while True:
            found = (await console.get("stack"))["processes"]
            if [(one["name"], one["health"]) for one in found] == expected:
                break
            await anext(changes)


async def test_a_service_that_was_not_reloaded_is_shown_with_the_error(start_console) -> None:
    console = await start_console()
    error = (
        "api was not reloaded: api.1 ended during start with code 1\nSyntaxError: invalid syntax"
    )
    console.processes.append(
        {"name": "api.1", "pid": 8, "state": "running", "url": "", "reload_error": error}
    )
    async with asyncio.timeout(30), open_events(console) as changes:
        while not (found := (await console.get("stack"))["processes"]):
            await anext(changes)
    assert (found[0]["health"], found[0]["reload_error"]) == ("not reloaded", error)


async def test_an_open_page_is_notified_of_spans_emails_lines_and_jobs(console, jobs) -> None:
    async with asyncio.timeout(30), open_events(console) as changes:
        received: set[str] = set()
        while not received >= {"traces", "mail", "logs", "jobs"}:
            await console.send(span())
            console.log("api.1", event="more")
            console.mail(f"{len(received) + 1000:06}-x.eml", "Subject: x\r\n\r\nx")
            await insert_job(jobs, "queued")
            received |= set(await anext(changes))


def open_events(console):
    """Open the event stream; iterate over the topics of each event."""

    async def topics(response):
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                yield line.removeprefix("data: ").split()

    @asynccontextmanager
    async def opened():
        async with (
            httpx.AsyncClient(base_url=console.url, headers=TOKEN_HEADER, timeout=30) as client,
            client.stream("GET", "/api/events") as response,
        ):
            assert response.headers["content-type"] == "text/event-stream"
            yield topics(response)

    return opened()


async def test_the_process_stops_in_order_while_pages_are_open(start_console) -> None:
    console = await start_console()
    async with open_events(console):
        async with asyncio.timeout(5):
            await console.server.stop()
    assert "Traceback" not in (console.checkout.root / "console.out").read_text()


async def test_a_restart_keeps_the_address_and_the_traces(start_console) -> None:
    console = await start_console()
    root = span()
    await console.send(root)
    await console.server.stop()
    await console.server.start()
    assert (await console.get(f"traces/{root.trace_id}"))["summary"]["spans"] == 1


async def test_an_unchanged_file_is_not_sent_again(console) -> None:
    first = await console.http.get("/static/js/main.js")
    again = await console.http.get(
        "/static/js/main.js", headers={"If-None-Match": first.headers["etag"]}
    )
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


async def test_the_page_preloads_every_module(console) -> None:
    page = (await console.http.get("/")).text
    for name in ("js/main.js", "js/views/trace.js"):
        assert f'<link rel="modulepreload" href="/static/{name}">' in page


async def test_no_request_of_this_file_raised_an_exception(console, output) -> None:
    assert "Traceback" not in output()
