"""Access control: other host names, pages of other origins, requests without the token."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from tests.integration.dev.console.conftest import DATABASE_PASSWORD, PROTOBUF, TOKEN
from tests.spans import message, span

from twelvefold_dev.console.access_control import ticket_for

READS = ["/", "/api/stack", "/api/requests", "/api/events", "/static/js/main.js"]
DATA = ["stack", "overview", "requests", "logs", "jobs", "mails", "metrics"]
FOREIGN_ORIGINS = ["http://evil.example", "null", "http://127.0.0.1:9", "https://127.0.0.1"]


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost", ""])
async def test_another_host_name_is_refused(console, path, host) -> None:
    response = await console.http.get(path, headers={"Host": host})
    assert response.status_code in (400, 421)
    assert "Twelvefold" not in response.text


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_the_names_of_loopback_are_accepted(console, name) -> None:
    port = httpx.URL(console.url).port
    response = await console.http.get("/api/stack", headers={"Host": f"{name}:{port}"})
    assert response.status_code == 200


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
async def test_pages_of_other_origins_can_neither_read_nor_write(console, origin) -> None:
    headers = {"Origin": origin, "X-Console-Token": TOKEN}
    for response in (
        await console.http.get("/api/requests", headers=headers),
        await console.http.post("/api/token", headers=headers),
        await console.http.options("/api/token", headers=headers),
    ):
        assert response.status_code in (401, 403)
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_pages_of_other_sites_cannot_embed_the_console(console, site) -> None:
    for mode, destination in (("no-cors", "image"), ("navigate", "iframe"), ("cors", "empty")):
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
        assert (await console.http.get("/api/logs", headers=headers)).status_code == 403


async def test_a_link_from_another_site_opens_the_page(console) -> None:
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
async def test_reads_and_writes_require_the_token(console, headers) -> None:
    async with httpx.AsyncClient(base_url=console.url, headers=headers, timeout=20) as client:
        for method, path in (
            ("POST", "/api/token"),
            ("POST", "/api/places/postgres/secret"),
            *(("GET", f"/api/{path}") for path in (*DATA, "events", "none", "mails/x/frame")),
        ):
            response = await client.request(method, path, headers={"Origin": console.url})
            assert response.status_code == 401, path
            assert response.headers["content-type"] == "application/problem+json"
            assert DATABASE_PASSWORD not in response.text


async def test_a_ticket_is_valid_for_its_path_only(console) -> None:
    async with httpx.AsyncClient(base_url=console.url, timeout=20) as browser:

        async def status(method: str, path: str, ticket: str) -> int:
            headers = {"Origin": console.url}
            response = await browser.request(method, f"{path}?ticket={ticket}", headers=headers)
            return response.status_code

        ticket = ticket_for(TOKEN, "/api/logs")
        assert await status("GET", "/api/logs", ticket) == 200
        assert await status("GET", "/api/mails", ticket) == 401
        assert await status("GET", "/api/logs", ticket_for("another", "/api/logs")) == 401
        assert await status("GET", "/api/logs", f"%C3%A9&ticket={ticket}") == 401
        assert await status("POST", "/api/token", ticket_for(TOKEN, "/api/token")) == 401


async def test_a_write_without_an_origin_is_refused(console) -> None:
    response = await console.http.post("/api/token", headers={"X-Console-Token": TOKEN})
    assert response.status_code == 403


async def test_a_write_of_the_console_s_page_is_accepted(console) -> None:
    response = await console.http.post("/api/token", headers=console.write_headers)
    assert response.status_code == 204


async def test_a_password_is_returned_on_request_only(console) -> None:
    response = await console.http.post("/api/places/postgres/secret", headers=console.write_headers)
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
async def test_every_response_has_the_security_headers(console, path) -> None:
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


async def test_the_page_has_no_inline_script_or_style(console) -> None:
    page = (await console.http.get("/")).text
    assert "<style" not in page
    assert " style=" not in page
    assert " on" not in page.replace(" one", "")
    assert page.count("<script") == page.count("<script src=") + page.count(
        '<script type="module" src='
    )
    assert "http" not in page.replace("http-equiv", "")  # loads nothing from other hosts


EVENTS = f"/api/events?ticket={ticket_for(TOKEN, '/api/events')}"


async def test_the_number_of_open_pages_is_limited(start_console) -> None:
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
    # Closed pages make room for new ones.
    async with asyncio.timeout(20):
        while True:
            async with console.http.stream("GET", "/api/events") as response:
                if response.status_code == 200:
                    break
            await asyncio.sleep(0.05)


async def test_a_head_over_the_bound_of_the_services_is_refused(console) -> None:
    response = await console.http.get("/api/stack", headers={"X-Padding": "a" * 70_000})
    assert response.status_code == 431
    assert response.headers["Content-Type"] == "application/problem+json"
