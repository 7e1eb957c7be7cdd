"""What a user does in the console: stop and start, pause and retry, record and send again, mail."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import httpx
import pytest
from tests.console_page import READY, new_account, open_page

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
async def token(page, link) -> None:
    """Open the printed link, so that the browser has the token."""
    page.set_default_timeout(READY * 1000)
    await open_page(page, link)


@pytest.fixture
async def account(suite):
    """A client with the token of a new account, and its address."""
    async with new_account(suite) as found:
        yield found


def states(suite) -> dict[str, str]:
    return {row["name"]: row["state"] for row in json.loads(suite.command("ps", "--json"))}


async def test_a_server_is_stopped_and_started(page, console, suite) -> None:
    await open_page(page, f"{console}/stack")
    row = page.locator("tr", has=page.locator("th", has_text="redis")).first
    await row.get_by_role("button", name="Stop").click()
    await row.get_by_role("button", name="Start").wait_for(timeout=READY * 1000)
    assert states(suite)["redis"] == "stopped"
    async with httpx.AsyncClient(base_url=suite.url, timeout=30) as client:
        assert (await client.get("/health")).status_code == 200  # degraded, but there

    await row.get_by_role("button", name="Start").click()
    await row.get_by_role("button", name="Stop").wait_for(timeout=READY * 1000)
    assert states(suite)["redis"] == "running"


async def test_a_stopped_service_answers_with_the_reason_and_restarts(page, console, suite) -> None:
    await open_page(page, f"{console}/stack")
    row = page.locator("tr", has=page.locator("th", has_text="api.1")).first
    await row.get_by_role("button", name="Stop").click()
    await row.get_by_role("button", name="Start").wait_for(timeout=READY * 1000)
    async with httpx.AsyncClient(base_url=suite.url, timeout=30) as client:
        response = await client.get("/health")
    assert response.status_code == 503
    assert "api was stopped" in response.json()["detail"]
    suite.command("restart", "api")
    await row.get_by_role("button", name="Restart").wait_for(timeout=READY * 1000)
    async with httpx.AsyncClient(base_url=suite.url, timeout=30) as client:
        assert (await client.get("/health")).status_code == 200


async def test_a_service_is_scaled_and_its_log_level_changed(page, console, suite) -> None:
    await open_page(page, f"{console}/stack")
    row = page.locator("#services ~ div tr", has_text="users")
    await row.get_by_role("button", name="one process of users more").click()
    await page.locator("th", has_text="users.2").wait_for(timeout=READY * 1000)
    await row.get_by_role("button", name="one process of users less").click()
    await page.locator("th", has_text="users.2").wait_for(state="detached", timeout=READY * 1000)

    await page.get_by_label("Log level of users").select_option("DEBUG")
    await page.get_by_text("users: DEBUG until").wait_for()
    async with httpx.AsyncClient() as client:
        url = f"{suite.management['users']}/log-level"
        assert (await client.get(url)).json()["level"] == "DEBUG"
        await page.get_by_label("Log level of users").select_option("as configured")
        await page.get_by_text("users: INFO").wait_for()
        assert (await client.get(url)).json()["level"] == "INFO"


async def test_a_paused_queue_keeps_its_jobs_until_it_is_resumed(
    page, console, suite, suite_database
) -> None:
    await open_page(page, f"{console}/queues")
    queue = page.get_by_role("region", name="Queue default")
    await page.locator("#schedule ~ div tr", has_text="jobs.prune").wait_for()
    await queue.get_by_role("button", name="Pause").click()
    await queue.get_by_text("paused").wait_for(timeout=READY * 1000)
    assert states(suite)["worker.1"] == "stopped"
    job = uuid4()
    await suite_database.execute(
        "INSERT INTO jobs.jobs (id, kind, payload) VALUES ($1, 'jobs.prune', '{}')", job
    )
    await queue.locator("tr", has_text="jobs.prune").wait_for(timeout=READY * 1000)
    await queue.get_by_role("button", name="Resume").click()
    status = "SELECT status FROM jobs.jobs WHERE id = $1"
    async with asyncio.timeout(2 * READY):  # a worker starts
        while await suite_database.fetchval(status, job) != "succeeded":
            await asyncio.sleep(0.05)


async def test_all_dead_jobs_of_a_kind_are_retried_together(page, console, suite_database) -> None:
    ids = [uuid4() for _ in range(3)]
    await suite_database.executemany(
        "INSERT INTO jobs.jobs (id, kind, payload, status, finished_at) "
        "VALUES ($1, 'jobs.prune', '{}', 'dead', now())",
        [(one,) for one in ids],
    )
    await open_page(page, f"{console}/jobs?status=dead&kind=jobs.prune")
    await page.get_by_role("button", name="Retry all").click()
    await page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    await page.get_by_text("3 jobs queued again").wait_for()
    left = "SELECT count(*) FROM jobs.jobs WHERE id = ANY($1) AND status = 'dead'"
    assert await suite_database.fetchval(left, ids) == 0


async def test_a_recorded_request_is_copied_and_sent_again(page, console, account) -> None:
    client, _ = account
    await open_page(page, f"{console}/requests")
    await page.get_by_role("button", name="Record requests").click()
    await page.get_by_text("recording until").wait_for()
    body = {"type": "image.process", "payload": {"image_id": str(uuid4()), "note": "it's"}}
    key = {"Idempotency-Key": f'"{uuid4()}"'}
    sent = await client.post("/api/v1/jobs", json=body, headers=key)
    request_id = sent.headers["x-request-id"]

    await open_page(page, f"{console}/requests?q={request_id}")
    await page.locator("tbody a").first.click()
    await page.get_by_role("button", name="Send again").wait_for(timeout=READY * 1000)
    await page.get_by_role("button", name="Copy as curl").click()
    await page.get_by_text("Request copied as curl").wait_for()
    command = await page.evaluate("navigator.clipboard.readText()")
    assert "-X POST" in command
    assert "it'\\''s" in command
    assert "$TOKEN" in command
    assert str(client.headers["Authorization"]) not in command
    token = str(client.headers["Authorization"]).removeprefix("Bearer ")
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f"{command} -s -o /dev/null -w '%{{http_code}}'", env={"TOKEN": token},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    # The same key and body: the stored response.
    assert int(output) == sent.status_code

    await page.get_by_role("button", name="Send again").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Send", exact=True).click()
    await dialog.locator(".response b").wait_for()
    # The image is nobody's, and the demo account is who asks.
    assert f"Status {sent.status_code}" in await dialog.inner_text()
    await dialog.get_by_role("button", name="Find its trace").click()
    await page.wait_for_url("**/requests?q=*")
    await page.locator("tbody tr").first.wait_for(timeout=READY * 1000)

    await open_page(page, f"{console}/requests")
    await page.get_by_role("button", name="Stop recording").click()
    await page.get_by_role("button", name="Discard").click()
    await page.get_by_role("button", name="Discard").wait_for(state="detached")


async def test_an_email_is_found_previewed_checked_and_deleted(
    page, console, account, link
) -> None:
    _, email = account
    headers = {"X-Console-Token": link.partition("#token=")[2]}
    async with httpx.AsyncClient(base_url=console, headers=headers, timeout=40) as client:
        found = await client.get("/api/mails/wait", params={"to": email, "timeout": 30})
    assert found.status_code == 200
    await open_page(page, f"{console}/mail")
    await page.get_by_label("Search emails").fill(email)
    await page.wait_for_url("**/mail?q=*")
    entry = page.locator(".mails a", has_text=email)
    await entry.wait_for()
    await page.locator(".mails li:nth-child(2)").wait_for(state="detached")
    await entry.click()

    frame = page.locator(".reader iframe")
    await frame.wait_for()
    wide = (await frame.bounding_box())["width"]
    await page.get_by_role("radio", name="Mobile").check()
    assert (await frame.bounding_box())["width"] == 390 < wide
    inside = page.frame_locator(".reader iframe").locator("body")
    paper = "body => getComputedStyle(body).backgroundColor"
    light = await inside.evaluate(paper)
    await page.get_by_role("radio", name="Dark").check()
    async with asyncio.timeout(READY):
        while await inside.evaluate(paper) == light:
            await asyncio.sleep(0.05)

    await page.get_by_role("button", name="Check").click()
    checks = page.locator(".link-checks li")
    await checks.first.wait_for()
    assert await checks.locator(".state.good").count() == await checks.count()

    await page.get_by_role("button", name="Delete", exact=False).last.click()
    await page.get_by_text("Email deleted").wait_for()
    await entry.wait_for(state="detached")
