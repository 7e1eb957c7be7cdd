"""A page of any origin reaches every port of the laptop, reads nothing and writes nothing."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any
from urllib.parse import urlsplit

import aioboto3
import httpx
import psutil
import pytest

from twelvefold_dev.servers.mail_catcher import list_emails
from twelvefold_dev.servers.object_store import REGION

FOREIGN = "https://evil.example"
KEY = "kept/object"
CONTENT = b"precious"
PATHS = (
    "/", f"/{KEY}", f"/twelvefold/{KEY}", f"/buckets/twelvefold/{KEY}", "/buckets/twelvefold/",
    "/twelvefold?list-type=2", "/dir/assign", "/dir/status", "/submit", "/vol/grow?count=1",
    "/col/delete?collection=twelvefold", "/cluster/status", "/status", "/ui/index.html", "/admin",
    "/metrics", "/info", "/log-level", "/debug/pprof/", "/.tus/x", "/api/state", "/api/v1/users",
    "/internal/v1/users",
)  # fmt: skip
MAIL = (
    b"EHLO evil\r\nMAIL FROM:<evil@evil.example>\r\nRCPT TO:<planted@example.com>\r\nDATA\r\n"
    b"Subject: planted\r\n\r\nplanted\r\n.\r\nQUIT\r\n"
)


@pytest.fixture
def ports(suite) -> set[int]:
    """Where any process of the suite listens, on any address."""
    if suite.checkout is None:
        pytest.skip("a suite by URL shows no processes")
    rows = json.loads(suite.command("ps", "--json"))
    families = [psutil.Process(row["pid"]) for row in rows if row.get("pid")]
    families += [child for one in families for child in one.children(recursive=True)]
    found = {
        connection.laddr.port
        for process in families
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    named = {urlsplit(url).port for url in urls(suite.endpoints)}
    assert named <= found, "a port that the suite names is not among its processes'"
    assert len(found) > len(named), "the inner ports of S3 are missing"
    return found


def urls(endpoints: Any) -> list[str]:
    """All of `endpoints.json`, at any depth."""
    if isinstance(endpoints, dict):
        return [url for value in endpoints.values() for url in urls(value)]
    return [endpoints] if isinstance(endpoints, str) and "://" in endpoints else []


@pytest.fixture
async def kept(suite):
    """The suite's bucket with one object; yields its client."""
    secrets = json.loads((suite.checkout / ".twelvefold/secrets.json").read_text())
    session = aioboto3.Session(
        secrets["s3.access_key_id"], secrets["s3.secret_access_key"], region_name=REGION
    )
    async with session.client("s3", endpoint_url=suite.endpoints["s3"]) as client:
        await client.put_object(Bucket="twelvefold", Key=KEY, Body=CONTENT)
        yield client
        await client.delete_object(Bucket="twelvefold", Key=KEY)


async def names(client) -> set[str]:
    found = await client.list_objects_v2(Bucket="twelvefold")
    return {entry["Key"] for entry in found.get("Contents", [])}


async def test_no_port_lets_a_foreign_page_read_or_write(suite, ports, kept, caught_mail):
    before = await names(kept)
    mails = len(list_emails(suite.checkout / ".twelvefold/mail"))
    faults = []
    async with httpx.AsyncClient(timeout=10) as client:
        for port in sorted(ports):
            for method in ("GET", "PUT", "POST", "DELETE"):
                for path in PATHS:
                    faults += await attempted(client, method, f"http://127.0.0.1:{port}{path}")
    assert not faults
    assert await names(kept) == before
    response = await kept.get_object(Bucket="twelvefold", Key=KEY)
    assert await response["Body"].read() == CONTENT
    assert len(list_emails(suite.checkout / ".twelvefold/mail")) == mails


async def attempted(client: httpx.AsyncClient, method: str, url: str) -> list[str]:
    """What a page of another origin has gained by a request; nothing, it is hoped."""
    body = f"planted {uuid.uuid4()}" if method in ("PUT", "POST") else None
    headers = {"Origin": FOREIGN, "Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"}
    try:
        response = await client.request(method, url, headers=headers, content=body)
    except httpx.TransportError:
        return []  # no HTTP is spoken there
    tale = f"{method} {url}: {response.status_code}"
    faults = []
    # SeaweedFS says how it is at /status by any method, and writes nothing.
    if method != "GET" and response.is_success and not url.endswith("/status"):
        faults.append(f"{tale}: written")
    readable = response.headers.get("access-control-allow-origin") in ("*", FOREIGN)
    if readable and response.is_success and response.content:
        faults.append(f"{tale}: read: {response.text[:80]}")
    if CONTENT in response.content:
        faults.append(f"{tale}: shown")
    return faults


async def test_a_posted_form_lays_down_no_mail(suite, ports, caught_mail):
    folder = suite.checkout / ".twelvefold/mail"
    before = set(list_emails(folder))
    port = urlsplit(suite.endpoints["mail"]).port
    for head in (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n\r\n",
        b"POST /" + b"a" * 2_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"P",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + MAIL)
        async with asyncio.timeout(10):
            heard = await reader.read()
        writer.close()
        assert b"Caught" not in heard
    assert set(list_emails(folder)) == before
