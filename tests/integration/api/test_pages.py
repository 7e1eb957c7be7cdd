"""The pages behind mailed links: what they show, do and never do."""

import html
import re
from html.parser import HTMLParser

import httpx
import pytest
import structlog

from api.rate_limits import AccountLimit
from api.routes.pages import PATHS
from twelvefold.errors import DependencyUnavailable, UnprocessableContent
from twelvefold.http.edge.rate_limits import RateLimitName

from .conftest import client_of

PASSWORD = "correct horse battery staple"
ACTING = {
    "/verify-email": "confirm_email",
    "/reset-password": "reset_password",
    "/undo-email-change": "undo_email_change",
}
pytestmark = pytest.mark.parametrize("path", PATHS)


class Outline(HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.elements if name == tag]


def form(mailed: str = "good-token", **more: str) -> dict[str, str]:
    return {"token": mailed, "password": PASSWORD, **more}


def assert_page(response: httpx.Response) -> Outline:
    """A whole page that loads nothing, sends no referrer and is not cached."""
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-store"
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert "set-cookie" not in response.headers
    outline = Outline(response.text)
    assert outline.all("html") == [{"lang": "en"}]
    assert len(outline.all("h1")) == len(outline.all("title")) == len(outline.all("main")) == 1
    assert not outline.all("script")
    loaded = [found for _, found in outline.elements if "src" in found]
    assert not loaded
    assert "prefers-color-scheme: dark" in response.text
    return outline


async def test_a_get_shows_a_form_and_changes_nothing(anonymous, users, path):
    before = users.calls.count(ACTING[path])
    response = await anonymous.get(path, params={"token": 'a"><b'})
    assert response.status_code == 200
    assert users.calls.count(ACTING[path]) == before
    outline = assert_page(response)
    (shown,) = outline.all("form")
    assert shown == {"method": "post", "action": path[1:]}  # the address without its query
    fields = {field["name"]: field for field in outline.all("input")}
    assert fields.pop("token")["value"] == 'a"><b'
    assert len(outline.all("button")) == 1
    labels = {label["for"] for label in outline.all("label")}
    assert labels == {field["id"] for field in fields.values()}
    assert bool(fields) == (path == "/reset-password")


async def test_the_posted_form_does_what_the_link_is_for(anonymous, users, path):
    response = await anonymous.post(path, data=form())
    assert response.status_code == 200
    assert users.calls[-1] == ACTING[path]
    outline = assert_page(response)
    assert not outline.all("form")
    assert "good-token" not in response.text


async def test_an_invalid_link_shows_a_page(anonymous, path):
    response = await anonymous.post(path, data=form("bad-token"))
    assert response.status_code == 400
    assert "This link does not work" in assert_page(response).text
    assert "bad-token" not in response.text


@pytest.mark.parametrize("query", ["", "?token=", "?token=a&token=b", f"?token={'x' * 513}"])
async def test_an_incomplete_link_shows_a_page(anonymous, path, query):
    response = await anonymous.get(path + query)
    assert response.status_code == 400
    assert "This link does not work" in assert_page(response).text


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"token=good-token&token=good-token", "application/x-www-form-urlencoded", 400),
        (b"token=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (
            b"&".join(b"a%d=1" % number for number in range(50)),
            "application/x-www-form-urlencoded",
            400,
        ),
        (b'{"token": "good-token"}', "application/json", 415),
        (b"", "", 415),
    ],
)
async def test_a_form_that_is_none_does_nothing(anonymous, users, path, content, kind, status):
    before = users.calls.count(ACTING[path])
    response = await anonymous.post(path, content=content, headers={"content-type": kind})
    assert response.status_code == status
    assert_page(response)
    assert users.calls.count(ACTING[path]) == before


async def test_a_form_from_another_site_has_no_power_but_its_token(api, anonymous, users, path):
    """No cookie and no bearer token counts here, so the form is worth what the token is worth."""
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    with_bearer = {**foreign, "Authorization": "Bearer whatever", "Cookie": "session=1"}
    response = await anonymous.post(path, data=form("bad-token"), headers=with_bearer)
    assert response.status_code == 400
    assert "access-control-allow-origin" not in response.headers


async def test_what_the_rules_say_of_the_password_is_readable(anonymous, users, path, monkeypatch):
    if path != "/reset-password":
        pytest.skip("asks for no password")
    cases = {"short": "The password must have 8 to 256 characters."}

    async def refuse(token, password):
        raise UnprocessableContent(
            "the password is among the most common passwords: choose another one"
        )

    monkeypatch.setattr(users, "reset_password", refuse)
    cases["password1"] = "The password is among the most common passwords: choose another one."
    for password, output in cases.items():
        response = await anonymous.post(path, data=form(password=password))
        assert response.status_code == 422
        outline = assert_page(response)
        assert outline.text.count(output) == 2  # in the summary and beside the field
        assert f"Error: {'Choose a new password'}" in outline.text
        summary = next(found for found in outline.all("div") if found.get("role") == "alert")
        assert summary["tabindex"] == "-1"
        assert "autofocus" in summary
        (field,) = [found for found in outline.all("input") if found.get("id") == "password"]
        assert field["aria-invalid"] == "true"
        assert field["aria-describedby"] == "password-hint password-fault"
        assert "value" not in field
        assert (
            html.escape(password) not in response.text.replace("/password", "").replace(output, "")
            or password == "short"
        )
        (token,) = [found for found in outline.all("input") if found["name"] == "token"]
        assert token["value"] == "good-token"  # it still counts


async def test_refusals_and_outages_are_pages_too(open_api, anonymous, users, path, monkeypatch):
    async def away(*_):
        raise DependencyUnavailable("users")

    with monkeypatch.context() as patch:
        patch.setattr(users, ACTING[path], away)
        response = await anonymous.post(path, data=form())
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert_page(response)


async def test_the_form_counts_where_a_secret_can_be_guessed_and_the_page_by_address(
    anonymous, path
):
    shown = await anonymous.get(path, params={"token": "a"})
    sent = await anonymous.post(path, data=form("bad-token"))
    assert shown.headers["ratelimit-policy"].startswith(f'"{RateLimitName.ANONYMOUS}";')
    assert sent.headers["ratelimit-policy"].startswith(f'"{AccountLimit.CREDENTIALS}";')


async def test_beyond_the_quota_the_refusal_is_a_page(open_api, path):
    process = await open_api(rate_limit_credentials=1, redis_url="redis://127.0.0.1:9/0")
    async with client_of(process) as client:
        await client.post(path, data=form("bad-token"))
        response = await client.post(path, data=form("bad-token"))
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) > 0
    assert "Too many attempts" in assert_page(response).text


async def test_the_token_is_in_no_log_line(api, anonymous, path):
    with structlog.testing.capture_logs() as lines:
        await anonymous.get(path, params={"token": "planted-in-the-query"})
        await anonymous.post(path, data=form("planted-in-the-form"))
    assert not re.search("planted", repr(lines))


async def test_a_body_too_large_is_refused(anonymous, path):
    response = await anonymous.post(path, data=form(filler="x" * 20_000))
    assert response.status_code == 413


async def test_it_is_not_in_the_document(anonymous, path):
    assert path not in (await anonymous.get("/openapi.json")).json()["paths"]
