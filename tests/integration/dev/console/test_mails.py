"""Caught emails over HTTP: waiting for one, search, deletion, previews, a check of links."""

from __future__ import annotations

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Route
from tests.asgi_server import open_asgi_server


@pytest.fixture
async def console(start_console):
    return await start_console()


def catch(
    console, number: int, to: str = "ada@example.com", subject: str = "Hello", body: str = ""
):
    name = f"{number:06}-{to}.eml"
    head = f"X-Envelope-To: {to}\r\nSubject: {subject}\r\nContent-Type: text/html\r\n\r\n"
    console.mail(name, head + body)
    return name


async def test_a_test_waits_for_an_email_to_an_address(console) -> None:
    catch(console, 1, "bob@example.com")
    waiting = asyncio.create_task(console.get("mails/wait", to="Ada@example.com", timeout=20))
    # The request that is answered after it was received after it.
    assert (await console.get("mails"))["total"] == 1
    link = "http://127.0.0.1:8000/verify-email#token=x"
    name = catch(console, 2, subject="Welcome", body=f'<a href="{link}">Confirm</a>')
    found = await asyncio.wait_for(waiting, 10)
    assert (found["name"], found["subject"], found["links"]) == (name, "Welcome", [link])


async def test_words_and_an_earlier_email_narrow_what_is_waited_for(console) -> None:
    first = catch(console, 1, subject="Welcome")
    catch(console, 2, subject="Reset your password")
    assert (await console.get("mails/wait", to="ada@example.com", q="welcome"))["name"] == first
    found = await console.get("mails/wait", to="ada@example.com", after=first)
    assert found["subject"] == "Reset your password"


async def test_an_email_that_does_not_come_in_time_is_not_found(console) -> None:
    catch(console, 1, "bob@example.com")
    response = await console.http.get(
        "/api/mails/wait", params={"to": "ada@example.com", "timeout": 1}
    )
    assert response.status_code == 404
    assert "within 1 s" in response.json()["detail"]
    for query in ("", "?to=a@b.c&timeout=0", "?to=a@b.c&timeout=61"):
        assert (await console.http.get(f"/api/mails/wait{query}")).status_code == 400


async def test_emails_are_found_by_recipient_subject_and_text(console) -> None:
    catch(console, 1, subject="Welcome", body="<p>confirm your address</p>")
    catch(console, 2, "bob@example.com", subject="Reset")
    for words, expected in (
        ("welcome ADDRESS", 1),
        ("bob@", 1),
        ("example.com", 2),
        ("nothing", 0),
    ):
        found = await console.get("mails", q=words)
        assert (len(found["items"]), found["total"]) == (expected, 2), words


async def test_an_email_is_deleted_and_so_are_all(console) -> None:
    first, _, _ = (catch(console, number) for number in (1, 2, 3))
    assert (await console.write("DELETE", f"mails/{first}")).status_code == 204
    assert (await console.write("DELETE", f"mails/{first}")).status_code == 404
    assert (await console.write("DELETE", "mails/..%2Fconsole.json")).status_code == 404
    assert (await console.write("DELETE", "mails")).json() == {"deleted": 2}
    assert (await console.get("mails"))["total"] == 0
    # A later email may get the name of a deleted one.
    catch(console, 1, subject="Another")
    assert [one["subject"] for one in (await console.get("mails"))["items"]] == ["Another"]


@pytest.mark.parametrize(
    ("scheme", "dark", "light"), [("dark", "min", "max"), ("light", "max", "min")]
)
async def test_a_preview_answers_the_queries_for_a_colour_scheme(
    console, scheme, dark, light
) -> None:
    style = "@media (prefers-color-scheme: dark) {a{}} @media ( Prefers-Color-Scheme:LIGHT ) {b{}}"
    name = catch(console, 1, body=f"<head><style>{style}</style></head>")
    response = await console.http.get(f"/api/mails/{name}/frame", params={"scheme": scheme})
    assert (
        f"@media ({dark}-width: 0) {{a{{}}}} @media ({light}-width: 0) {{b{{}}}}" in response.text
    )
    assert "script" not in response.headers["content-security-policy"]
    other = await console.http.get(f"/api/mails/{name}/frame", params={"scheme": "sepia"})
    assert other.status_code == 400


async def test_links_to_the_stack_are_opened_and_others_are_listed(start_console) -> None:
    opened = []

    async def page(request: Request):
        opened.append(str(request.url.path))
        if request.url.path == "/moved":
            return RedirectResponse("/page?token=1")
        if request.url.path == "/loop":
            return RedirectResponse("/loop")
        return PlainTextResponse("", 404 if request.url.path == "/lost" else 200)

    app = Starlette(routes=[Route("/{path:path}", page)])
    async with open_asgi_server(app) as url:
        console = await start_console(edge=url)
        local = url.replace("127.0.0.1", "localhost")
        links = [
            f"{url}/page#token=2", f"{local}/moved", f"{url}/lost", f"{url}/loop",
            "https://evil.example/x", "http://127.0.0.1:9/x",
        ]  # fmt: skip
        name = catch(console, 1, body="".join(f'<a href="{one}">x</a>' for one in links))
        found = (await console.write("POST", f"mails/{name}/links")).json()["links"]
    assert [one["url"] for one in found] == links
    assert [one["checked"] for one in found] == [True, True, True, True, False, False]
    assert [one["ok"] for one in found] == [True, True, False, False, False, False]
    assert [one["status"] for one in found] == [200, 200, 404, 307, None, None]
