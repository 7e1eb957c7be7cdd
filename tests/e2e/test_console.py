"""The developer console in a real browser with a real suite."""

from __future__ import annotations

import asyncio
import io
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from PIL import Image
from tests.browser import NARROW, WIDE
from tests.console_page import READY, new_account, open_page
from tests.running_suite import Suite
from tests.spans import message, span

SCRIPT = (
    '<script>window.planted=1</script><img src="http://evil.example/x" onerror="window.planted=2">'
)
VIEWS = [
    "/",
    "/requests",
    "/requests?kind=",
    "/jobs",
    "/queues",
    "/mail",
    "/logs",
    "/metrics",
    "/stack",
]

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
async def account(suite: Suite, console) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the token of a new account."""
    async with new_account(suite) as (client, _):
        yield client


@pytest.fixture(scope="module")
async def sessions(suite_database, account) -> Callable[[], Any]:
    """Return a request for the sessions, the route of the injected faults."""

    async def request_sessions():
        return await account.get("/api/v1/users/me/sessions")

    # The first request fetches keys and fills caches.
    assert (await request_sessions()).status_code == 200
    return request_sessions


@pytest.fixture(scope="module")
async def slow_query(suite_database, sessions):
    """The route of a request with a statement of more than a second."""
    async with suite_database.transaction():
        await suite_database.execute("LOCK TABLE users.sessions IN ACCESS EXCLUSIVE MODE")
        request = asyncio.create_task(sessions())
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while not await suite_database.fetchval(waiting):
            await asyncio.sleep(0.01)
        since = time.monotonic()
        while time.monotonic() - since < 1.2:  # the duration of the injected fault
            await asyncio.sleep(0.05)
    assert (await request).status_code == 200
    return "/api/v1/users/me/sessions"


@pytest.fixture(scope="module")
async def failing_handler(slow_query, suite_database, sessions):
    """The route of a request whose handler fails, since its table does not exist."""
    await suite_database.execute("ALTER TABLE users.sessions RENAME TO planted")
    try:
        assert (await sessions()).status_code >= 500
    finally:
        await suite_database.execute("ALTER TABLE users.planted RENAME TO sessions")
    return slow_query


@asynccontextmanager
async def temporary_job(suite_database, status: str) -> AsyncIterator[str]:
    job_id = uuid4()
    errors = [
        {"at": "2026-11-23T19:13:02Z", "claim_no": 1, "error": "SMTPServerDisconnected: gone"}
    ]
    await suite_database.execute(
        "INSERT INTO jobs.jobs (id, kind, payload, status, errors, error, attempts, run_at) VALUES "
        "($1, 'planted.kind', '{}', $2, $3, 'SMTPServerDisconnected: gone', 10, now() + '1 day')",
        job_id, status, json.dumps(errors),
    )  # fmt: skip
    try:
        yield str(job_id)
    finally:
        await suite_database.execute("DELETE FROM jobs.jobs WHERE id = $1", job_id)


@pytest.fixture(autouse=True)
async def token(page, link) -> None:
    """Open the printed link, so that the browser has the token."""
    await open_page(page, link)


# From the front page to the span, in two clicks


async def test_a_slow_query_is_found_in_two_clicks(page, console, slow_query, picture) -> None:
    await open_page(page, console)
    slowest = page.locator("section", has_text="Slowest").locator(".story", has_text=slow_query)
    await slowest.first.wait_for(timeout=READY * 1000)
    await slowest.first.get_by_role("link").click()
    await page.locator(".cause-box").click()

    details = page.get_by_role("article", name="Span SELECT")
    await details.wait_for()
    assert "users.sessions" in await details.inner_text()
    selected = page.locator('[role="treeitem"][aria-selected="true"]')
    assert re.search(r"slowest\s+1\.\d+ s", await selected.inner_text())
    await picture(page, "slow-query")


async def test_a_failing_handler_is_found_in_two_clicks(
    page, console, failing_handler, picture
) -> None:
    await open_page(page, console)
    failing = page.locator("section", has_text="Failing").locator(
        ".story", has_text=failing_handler
    )
    await failing.first.wait_for(timeout=READY * 1000)
    await picture(page, "overview")
    await page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    await page.emulate_media(color_scheme="dark")
    await picture(page, "narrow")
    await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    await page.emulate_media(color_scheme="light")
    await failing.first.get_by_role("link").click()
    await page.locator(".cause-box").click()

    details = page.locator(".span-details")
    await details.wait_for()
    assert 'relation "users.sessions" does not exist' in await details.inner_text()
    # The span is of the statement, but its details contain the code that ran it.
    assert "users/repository/sessions.py:" in await details.inner_text()
    await picture(page, "failing-handler")
    await details.get_by_text("Traceback", exact=True).click()
    assert "most recent call last" in await details.inner_text()


async def test_a_trace_shows_every_hop_down_to_the_job_and_its_logs(
    page, console, account, picture
) -> None:
    image = io.BytesIO()
    Image.effect_noise((1600, 1200), 80).convert("RGB").save(image, "JPEG")
    response = await account.post(
        "/api/v1/images", content=image.getvalue(), headers={"Content-Type": "image/jpeg"}
    )
    assert response.status_code == 202
    await page.emulate_media(color_scheme="dark")
    await open_page(page, f"{console}/requests?q={response.headers['x-request-id']}")
    await page.get_by_role("link", name="/api/v1/images").click()

    tree = page.get_by_role("tree")
    # The tree grows while the job runs.
    await tree.get_by_text("job.settle").wait_for(timeout=60_000)
    for tag in ("HTTP", "CALL", "REDIS", "SQL", "S3", "QUEUE", "JOB"):
        assert await tree.get_by_text(tag, exact=True).count(), tag
    assert {"api", "worker"} <= set(await tree.locator(".service").all_inner_texts())
    logs = page.get_by_role("tabpanel").locator("li", has_text="job_run")
    await logs.wait_for()
    await picture(page, "upload")


# Live


async def test_a_new_request_appears_without_a_reload(page, console, suite) -> None:
    await open_page(page, f"{console}/requests")
    path = f"/api/v1/images/{uuid4()}"
    async with httpx.AsyncClient(base_url=suite.url) as client:
        request_id = (await client.get(path)).headers["x-request-id"]
    row = page.locator("tbody tr", has_text="/api/v1/images/")
    await row.first.wait_for(timeout=READY * 1000)
    await open_page(page, f"{console}/requests?q={request_id}")
    assert await page.locator("tbody tr").count() == 1


async def test_a_list_under_the_pointer_does_not_move(page, console, suite) -> None:
    await open_page(page, f"{console}/requests")
    first = page.locator("tbody tr").first
    await first.hover()
    before = await first.get_attribute("data-id")
    async with httpx.AsyncClient(base_url=suite.url) as client:
        await client.get("/api/v1/users/me")
    fresh = page.get_by_role("button", name="new trace")
    await fresh.wait_for(timeout=READY * 1000)
    assert await first.get_attribute("data-id") == before
    await fresh.click()
    await page.wait_for_function(
        "id => document.querySelector('tbody tr').dataset.id !== id", arg=before
    )


# Jobs and the token


async def test_the_page_asks_for_the_token_and_accepts_the_link(
    page, console, suite_database, link
) -> None:
    async with temporary_job(suite_database, "dead") as job_id:
        status = "SELECT status FROM jobs.jobs WHERE id = $1"
        await open_page(page, link)
        await page.evaluate("localStorage.removeItem('token')")
        await page.goto(f"{console}/jobs/{job_id}")
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_text("token is missing").wait_for()
        assert job_id not in await page.locator("main").inner_text()

        await page.reload()
        await page.get_by_label("Link or token").fill(link)
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Retry").click()
        await page.locator("h1", has_text="queued").wait_for()
        assert await suite_database.fetchval(status, job_id) == "queued"


async def test_a_job_is_cancelled_after_opening_the_printed_link(
    page, suite_database, link
) -> None:
    async with temporary_job(suite_database, "failed") as job_id:
        await open_page(page, link)
        assert "#" not in page.url  # the address no longer contains the token
        await page.goto(f"{page.url}jobs?status=failed")
        row = page.locator("tr", has_text="planted.kind")
        await row.get_by_role("button", name="Cancel").click()
        await row.wait_for(state="detached")
        status = await suite_database.fetchval("SELECT status FROM jobs.jobs WHERE id = $1", job_id)
        assert status == "cancelled"


async def test_a_database_url_is_copied_but_not_shown(page, link, suite) -> None:
    await open_page(page, link)
    await page.goto(f"{page.url}stack")
    url = str(suite.endpoints["postgres"])
    await page.locator("tr", has_text="PostgreSQL").get_by_role("button").click()
    await page.get_by_text("copied with its password").wait_for()
    assert await page.evaluate("navigator.clipboard.readText()") == url
    assert str(urlsplit(url).password) not in await page.content()


# Hostile text


@pytest.fixture
async def planted_markup(suite: Suite, console) -> AsyncIterator[str]:
    """Add a trace, a log line and an email with markup; return the trace id."""
    assert suite.checkout is not None
    root = span(SCRIPT, http__route=SCRIPT, ms=50, error=f"{SCRIPT}: {SCRIPT}")
    query = span(SCRIPT, parent=root, ms=30, db__query__text=SCRIPT)
    async with httpx.AsyncClient(timeout=20) as client:
        response = await client.post(
            f"{console}/v1/traces",
            content=message(root, query).SerializeToString(),
            headers={"Content-Type": "application/x-protobuf"},
        )
        assert response.status_code == 200
    state = suite.checkout / ".twelvefold"
    line = {"time": "2026-11-23T19:13:02Z", "level": "error", "event": SCRIPT, SCRIPT: SCRIPT}
    with (state / "logs/api.1.log").open("a") as file:
        file.write(json.dumps({**line, "trace_id": root.trace_id, "exception": SCRIPT}) + "\n")
    mail = state / "mail/999999-evil@example.com.eml"
    mail.write_text(
        f"Subject: {SCRIPT}\r\nFrom: {SCRIPT}\r\nContent-Type: text/html\r\n\r\n"
        f'<p id="there">Hello</p>{SCRIPT}<meta http-equiv="refresh" content="0;url=http://evil.example">'
        '<link rel="stylesheet" href="http://evil.example/x.css"><form action="http://evil.example">'
    )
    yield root.trace_id
    mail.unlink()


async def test_markup_in_data_is_shown_as_text(page, console, planted_markup) -> None:
    for path in (f"/traces/{planted_markup}", "/", "/requests", "/logs"):
        await open_page(page, console + path)
        shown = page.get_by_text("<script>window.planted=1").locator("visible=true")
        await shown.first.wait_for()
        assert await page.evaluate("window.planted") is None
        assert await page.locator("main script, main img").count() == 0


async def test_an_email_is_shown_without_scripts(chromium, console, planted_markup) -> None:
    page = await chromium.new_page()
    requests: list[str] = []
    page.on("requestfinished", lambda request: requests.append(request.url))
    await open_page(page, f"{console}/mail")
    frame = page.frame_locator("iframe")
    await frame.locator("#there").wait_for()
    inside = next(one for one in page.frames if one.parent_frame)
    assert await inside.evaluate("document.querySelectorAll('script').length") == 1
    assert await inside.evaluate("window.planted") is None
    assert await inside.evaluate("self.origin") == "null"
    assert all(url.startswith((console, "data:")) for url in requests)
    await page.close()


async def test_no_view_shows_a_password(page, console, suite) -> None:
    secrets = json.loads((Path(str(suite.checkout)) / ".twelvefold/secrets.json").read_text())
    hidden = [value for value in secrets.values() if isinstance(value, str) and len(value) > 15]
    hidden += [str(urlsplit(str(suite.endpoints[name])).password) for name in ("postgres", "redis")]
    assert len(hidden) > 5
    for path in VIEWS:
        await open_page(page, console + path)
        content = await page.content()
        assert not [secret for secret in hidden if secret in content]


# Accessibility


@pytest.mark.parametrize(("scheme", "checked"), [("light", WIDE), ("dark", NARROW)])
async def test_every_view_is_accessible_and_fits(
    page, console, failing_handler, suite_database, axe, link, scheme, checked
) -> None:
    headers = {"X-Console-Token": link.partition("#token=")[2]}
    async with (
        httpx.AsyncClient(base_url=console, headers=headers) as client,
        temporary_job(suite_database, "dead") as job,
    ):
        items = (await client.get("/api/requests", params={"q": failing_handler})).json()["items"]
        views = [*VIEWS, f"/traces/{items[0]['trace_id']}", f"/jobs/{job}"]
        await page.emulate_media(color_scheme=scheme)
        for path in views:
            for width, height in (WIDE, NARROW):
                await page.set_viewport_size({"width": width, "height": height})
                await open_page(page, console + path)
                if (width, height) == checked:
                    await page.evaluate(axe)
                    found = await page.evaluate("axe.run()")
                    faults = [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]]
                    assert faults == [], f"{path} at {width} px"
                overflow = "document.documentElement.scrollWidth - innerWidth"
                assert await page.evaluate(overflow) <= 0, f"{path} at {width} px"


async def test_the_page_is_usable_by_keyboard(page, console, failing_handler) -> None:
    await open_page(page, console)
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    await page.keyboard.press("/")
    await page.keyboard.type("is:failed")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/requests?q=is*")
    await page.locator("tbody tr").first.wait_for()
    await page.keyboard.press("Escape")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/traces/*")

    tree = page.get_by_role("tree")
    await tree.get_by_role("treeitem").first.focus()
    before = await tree.locator('[role="treeitem"]:visible').count()
    await page.keyboard.press("ArrowLeft")
    assert await tree.locator('[role="treeitem"]:visible').count() == 1
    await page.keyboard.press("ArrowRight")
    assert await tree.locator('[role="treeitem"]:visible').count() == before
    await page.keyboard.press("End")
    await page.keyboard.press("Enter")
    assert await page.locator(".span-details").count() == 1

    await page.keyboard.press("g")
    await page.keyboard.press("j")
    await page.wait_for_url("**/jobs")
    await page.keyboard.press("?")
    await page.get_by_role("dialog").get_by_role("button", name="Close").press("Enter")
    assert await page.get_by_role("dialog").count() == 0


async def press_until(page, key: str, selector: str, most: int = 40) -> None:
    """Press `key` until the focus is on an element that `selector` matches."""
    for _ in range(most):
        await page.keyboard.press(key)
        if await page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{key} never reaches {selector}")


async def test_a_failing_handler_and_its_log_are_found_by_keyboard_alone(
    page, console, failing_handler
) -> None:
    await open_page(page, console)
    story = "section:has(#failed) .story-link"
    await page.locator(story, has_text=failing_handler).first.wait_for(timeout=READY * 1000)
    # The first key: the list of failures is the first one that the arrows reach.
    await press_until(page, "ArrowDown", story)
    while failing_handler not in await page.locator(":focus").inner_text():
        await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await page.get_by_role("tree").wait_for()
    # The second: the root cause is the first button of the trace that is none to copy.
    await press_until(page, "Tab", ".cause-box")
    await page.keyboard.press("Enter")
    details = page.locator(".span-details")
    assert 'relation "users.sessions" does not exist' in await details.inner_text()
    assert await page.evaluate("document.activeElement.role") == "treeitem"
    # Its logs are the other tab of the panel beside it.
    await press_until(page, "Tab", "#tab-span")
    await page.keyboard.press("ArrowRight")
    await press_until(page, "Tab", ".log-line.error summary")
    await page.keyboard.press("Enter")
    log = page.locator(".log-line.error details[open]").first
    assert "Traceback" in await log.inner_text()


async def test_a_chosen_theme_survives_a_reload(page, console) -> None:
    await open_page(page, console)
    paper = "getComputedStyle(document.body).backgroundColor"
    await page.emulate_media(color_scheme="light")
    light = await page.evaluate(paper)
    while "dark" not in (await page.locator("#theme").get_attribute("aria-label") or ""):
        await page.locator("#theme").click()
    assert await page.evaluate(paper) != light
    await page.reload()
    assert await page.evaluate(paper) != light
    await page.evaluate("localStorage.removeItem('theme')")


async def test_reduced_motion_disables_transitions(page, console) -> None:
    await page.emulate_media(reduced_motion="reduce")
    await open_page(page, console)
    is_moving = "e => parseFloat(getComputedStyle(e).transitionDuration)"
    moving = f"[...document.querySelectorAll('*')].filter({is_moving})"
    assert await page.evaluate(f"{moving}.length") == 0


async def test_a_console_that_does_not_respond_is_reported(chromium, console) -> None:
    page = await chromium.new_page()
    await open_page(page, f"{console}/requests")
    await page.context.set_offline(True)
    try:
        await page.locator("#views a", has_text="Metrics").click()
        await page.get_by_role("alert").wait_for()
    finally:
        await page.context.set_offline(False)
        await page.close()
