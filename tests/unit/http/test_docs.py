"""The page /docs: its files, and the demo account that it offers on a laptop."""

import json

import httpx
import pytest
from fastapi import FastAPI

from twelvefold.http.docs import add_docs

LOCAL = "http://127.0.0.1:8000"


def client_of(demo_account=None, base_url=LOCAL):
    app = FastAPI(title="Orders & more", docs_url=None)
    add_docs(app, demo_account)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url)


@pytest.fixture
def account(tmp_path):
    path = tmp_path / "demo.json"
    path.write_text(json.dumps({"email": "demo@example.com", "password": "p", "registered": True}))
    return path


async def test_the_page_loads_nothing_from_elsewhere_and_each_of_its_files_is_there():
    async with client_of() as client:
        page = await client.get("/docs")
        assert "<title>Orders &amp; more</title>" in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
        for name in ("swagger-ui.css", "page.css", "swagger-ui-bundle.js", "start.js"):
            assert f'"docs/{name}"' in page.text
            assert (await client.get(f"/docs/{name}")).status_code == 200
        assert "http" not in page.text
        assert (await client.get("/docs/nothing.js")).status_code == 404


async def test_a_browser_on_this_machine_is_offered_the_demo_account(account):
    async with client_of(account) as client:
        response = await client.get("/docs/demo.json")
    assert response.json() == {"email": "demo@example.com", "password": "p"}
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["http://evil.example:8000", "http://127.0.0.1.evil.example"])
async def test_a_page_under_another_name_gets_no_demo_account(account, host):
    """DNS rebinding: a site of another name that resolves to this machine sends that name."""
    async with client_of(account, host) as client:
        assert (await client.get("/docs/demo.json")).status_code == 404


@pytest.mark.parametrize("content", ["{", "{}", "[1]"])
async def test_without_a_readable_account_there_is_none(tmp_path, content):
    path = tmp_path / "demo.json"
    async with client_of(path) as client:
        assert (await client.get("/docs/demo.json")).status_code == 404
        path.write_text(content)
        assert (await client.get("/docs/demo.json")).status_code == 404
    async with client_of() as client:
        assert (await client.get("/docs/demo.json")).status_code == 404
