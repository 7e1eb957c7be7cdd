"""Who may ask what: other hosts' names, other pages, requests without the token."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from tests.integration.dev.console.conftest import DATABASE_PASSWORD, PROTOBUF, TOKEN
from tests.spans import message, span

from twelvefold_dev.console.access_control import ticket_for

READS = ["/", "/api/stack", "/api/requests", "/api/events", "/static/js/main.js"]
# No page of ours, whatever its address, and whether or not the browser says where it comes from.
DATA = ["stack", "overview", "requests", "logs", "jobs", "mails", "metrics"]
FOREIGN_ORIGINS = ["http://evil.example", "null", "http://127.0.0.1:9", "https://127.0.0.1"]


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost", ""])
async def test_another_name_for_this_address_gets_nothing(console, path, host) -> None:
    response = await console.http.get(path, headers={"Host": host})
    assert response.status_code in (400, 421)
    assert "Twelvefold" not in response.text


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_the_names_of_loopback_are_answered(console, name) -> None:
    port = httpx.URL(console.url).port
    response = await console.http.get("/api/stack", headers={"Host": f"{name}:{port}"})
    assert response.status_code == 200


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
async def test_another_page_can_neither_read_nor_write(console, origin) -> None:
    headers = {"Origin": origin, "X-Console-Token": TOKEN}
    for response in (
        await console.http.get("/api/requests", headers=headers),
        await console.http.post("/api/token", headers=headers),
        await console.http.options("/api/token", headers=headers),
    ):
        assert response.status_code in (401, 403)
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_another_page_cannot_even_embed(console, site) -> None:
    for mode, destination in (("no-cors", "image"), ("navigate", "iframe"), ("cors", "empty")):
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
        assert (await console.http.get("/api/logs", headers=headers)).status_code == 403


async def test_a_link_from_elsewhere_opens_the_page(console) -> None:
    headers = {
        "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document",
    }  # fmt: skip
    assert (await console.http.get("/requests", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Console-Token": ""},
        {"X-Console-Token": "x" * 400},
        {"X-Console-Token": TOKEN[:-1]},
        {"Authorization": f"Bearer {TOKEN}"},
        {"Cookie": f"token={TOKEN}"},
    ],
)
async def test_neither_read_nor_write_is_answered_without_the_token(console, headers) -> None:
    async with httpx.AsyncClient(base_url=console.url, headers=headers, timeout=20) as stranger:
        for method, path in (
            ("POST", "/api/token"),
            ("POST", "/api/places/postgres/secret"),
            *(("GET", f"/api/{path}") for path in (*DATA, "events", "none", "mails/x/frame")),
        ):
            response = await stranger.request(method, path, headers={"Origin": console.url})
            assert response.status_code == 401, path
            assert response.headers["content-type"] == "application/problem+json"
            assert DATABASE_PASSWORD not in response.text


async def test_a_ticket_reads_its_own_path_and_no_other(console) -> None:
    async with httpx.AsyncClient(base_url=console.url, timeout=20) as browser:

        async def status(method: str, path: str, ticket: str) -> int:
            headers = {"Origin": console.url}
            found = await browser.request(method, f"{path}?ticket={ticket}", headers=headers)
            return found.status_code

        ticket = ticket_for(TOKEN, "/api/logs")
        assert await status("GET", "/api/logs", ticket) == 200
        assert await status("GET", "/api/mails", ticket) == 401
        assert await status("GET", "/api/logs", ticket_for("another", "/api/logs")) == 401
        assert await status("GET", "/api/logs", f"%C3%A9&ticket={ticket}") == 401
        assert await status("POST", "/api/token", ticket_for(TOKEN, "/api/token")) == 401


async def test_a_write_with_the_token_and_no_origin_is_refused(console) -> None:
    response = await console.http.post("/api/token", headers={"X-Console-Token": TOKEN})
    assert response.status_code == 403


async def test_a_write_from_our_page_is_taken(console) -> None:
    response = await console.http.post("/api/token", headers=console.writing)
    assert response.status_code == 204


async def test_a_password_is_handed_out_for_the_token_and_shown_on_no_page(console) -> None:
    response = await console.http.post("/api/places/postgres/secret", headers=console.writing)
    assert DATABASE_PASSWORD in response.json()["value"]
    for path in DATA:
        assert DATABASE_PASSWORD not in (await console.http.get(f"/api/{path}")).text


async def test_no_page_can_send_spans(console) -> None:
    body = message(span()).SerializeToString()
    for headers in (
        {"Origin": console.url},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        response = await console.http.post("/v1/traces", content=body, headers=PROTOBUF | headers)
        assert response.status_code == 403


@pytest.mark.parametrize("path", [*READS, "/api/none", "/api/traces/none", "/livez"])
async def test_every_answer_is_fenced_in(console, path) -> None:
    async with console.http.stream("GET", path) as response:
        headers = response.headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"


async def test_the_page_has_no_script_and_no_style_of_its_own(console) -> None:
    page = (await console.http.get("/")).text
    assert "<style" not in page
    assert " style=" not in page
    assert " on" not in page.replace(" one", "")
    assert page.count("<script") == page.count("<script src=") + page.count(
        '<script type="module" src='
    )
    assert "http" not in page.replace("http-equiv", "")  # nothing is loaded from elsewhere


EVENTS = f"/api/events?ticket={ticket_for(TOKEN, '/api/events')}"


async def test_only_so_many_pages_can_listen(start_console) -> None:
    console = await start_console()
    client = httpx.AsyncClient(
        base_url=console.url, limits=httpx.Limits(max_connections=None), timeout=20
    )
    async with client, asyncio.TaskGroup() as group:
        enough = asyncio.Event()
        statuses: list[int] = []

        async def listen() -> None:
            async with client.stream("GET", EVENTS) as response:
                statuses.append(response.status_code)
                if len(statuses) == 40:
                    enough.set()
                await enough.wait()

        for _ in range(40):
            group.create_task(listen())
    assert sorted(statuses) == [200] * 32 + [503] * 8
    # Those that have gone leave their places.
    async with asyncio.timeout(20):
        while True:
            async with console.http.stream("GET", "/api/events") as response:
                if response.status_code == 200:
                    break
            await asyncio.sleep(0.05)
