"""Requests that no proper client sends: each is refused as a problem, none is a 5xx."""

import asyncio
import contextlib
import json
from urllib.parse import urlsplit

import httpx
import pytest
from tests.attack.conftest import assert_problem

pytestmark = pytest.mark.timeout(300)
JSON = {"Content-Type": "application/json"}
ROUTES = [("POST", "/api/v1/users"), ("PATCH", "/api/v1/users/me"), ("POST", "/api/v1/jobs")]
BODIES: dict[str, bytes] = {
    "deep arrays": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 65 + b"1" + b"}" * 65,
    "deep in the right place": b'{"type":"image.process","payload":{"a":'
    + b"[" * 900
    + b"]" * 900
    + b"}}",
    "never closed": b"[" * 500_000,
    "nul": b'{"name": "a\\u0000b"}',
    "nul as it is": b'{"name": "a\0b"}',
    "nul as a name": b'{"\\u0000": 1}',
    "no utf-8": b'{"name": "\xff\xfe"}',
    "utf-16": '{"name": "x"}'.encode("utf-16"),
    "half a character": b'{"name": "\\ud800"}',
    "not a number": b'{"name": NaN}',
    "endless number": b'{"name": ' + b"1" * 100_000 + b"}",
    "endless exponent": b'{"name": 1e999999999}',
    "nothing": b"",
    "null": b"null",
    "a string": b'"x"',
    "trailing bytes": b'{"name": "x"} {"name": "y"}',
    "many names": json.dumps({f"n{number}": number for number in range(20_000)}).encode(),
    "role of an admin": b'{"name": "x", "role": "admin"}',
    "prototype": b'{"__proto__": {"role": "admin"}, "name": "x"}',
}
QUERIES = [
    "limit=0",
    "limit=-1",
    "limit=101",
    "limit=99999999999999999999",
    "limit=abc",
    "limit=1e2",
    "limit=%00",
    "limit=",
    "cursor=%ff",
    "cursor=AAAA",
    "cursor=%00",
    "cursor=%F0%9F",
    "cursor=%27%20OR%201=1--",
]
PATHS = [
    "/api/v1/users/%00",
    "/api/v1/users/..%2f..%2fetc%2fpasswd",
    "/api/v1/users/%ff",
    "/api/v1/users/1",
    "/api/v1/images/%2e%2e",
    "/api/v1/jobs/x'%20OR%20'1",
    "/api/v1//users",
    "/internal/v1/users",
    "/metrics",
    "/livez",
    "/info",
    "/api/v1/users/me/",
    "/.git/config",
    "/api/v2/users",
]
HOST = b"Host: victim.example\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SMUGGLED = {
    "length and chunked": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 6\r\n"
    + CHUNKED
    + b"\r\n0\r\n\r\nG",
    "chunked and length": b"POST / HTTP/1.1\r\n" + HOST + CHUNKED + b"Content-Length: 6\r\n"
    b"\r\n0\r\n\r\nG",
    "two lengths": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length of two": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 2\r\n\r\nab",
    "a negative length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
    "a signed length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\na",
    "a hexadecimal length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0x1\r\n\r\na",
    "chunked, then something else": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding:\r\n chunked\r\nX: y\r\n"
    b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "a bare line feed in a chunk size": b"POST / HTTP/1.1\r\n"
    + HOST
    + CHUNKED
    + b"\r\n1;a\nb\r\nx\r\n0\r\n\r\n",
    "a chunk size that is none": b"POST / HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\nzz\r\n",
    "an endless chunk size": b"POST / HTTP/1.1\r\n"
    + HOST
    + CHUNKED
    + b"\r\n"
    + b"f" * 40
    + b"\r\n",
    "a nul in a header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    "a nul in the path": b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a carriage return in a header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb: c\r\n\r\n",
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http/9": b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT 169.254.169.254:80 HTTP/1.1\r\n" + HOST + b"\r\n",
}


async def said_to(suite, sent: bytes) -> bytes:
    """What comes back on a socket until the server closes it or is silent."""
    parts = urlsplit(suite.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    heard = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        writer.write(sent)
        async with asyncio.timeout(20):
            heard = await reader.read()
    writer.close()
    return heard


async def rss(suite) -> int:
    async with httpx.AsyncClient() as client:
        return int((await client.get(f"{suite.management['api']}/info")).json()["rss_bytes"])


async def test_hostile_bodies_are_refused_as_problems(attacker, figure):
    headers = {**attacker.bearer, **JSON, "If-Match": '"v1"'}
    responses = []
    for name, body in BODIES.items():
        for method, path in ROUTES:
            response = await attacker.http.request(method, path, content=body, headers=headers)
            assert 400 <= response.status_code < 500, f"{name} to {path}: {response.status_code}"
            assert_problem(response, 400, 412, 413, 415, 422)
            responses.append(response.status_code)
    figure("hostile bodies", sent=len(responses), refused=len(responses), errors_5xx=0)
    mine = await attacker.http.get("/api/v1/users/me", headers=attacker.bearer)
    assert (mine.json()["name"], mine.json()["role"]) == ("Mallory", "user")


async def test_a_name_that_is_there_twice_counts_once(attacker):
    headers = {**attacker.bearer, **JSON, "If-Match": '"v1"'}
    body = b'{"name": "first", "name": "second"}'
    response = await attacker.http.patch("/api/v1/users/me", content=body, headers=headers)
    assert (response.status_code, response.json()["name"]) == (200, "second")


async def test_absurd_queries_and_paths_are_refused(attacker):
    for query in QUERIES:
        for path in ("/api/v1/jobs", "/api/v1/images"):
            response = await attacker.http.get(f"{path}?{query}", headers=attacker.bearer)
            assert_problem(response, 400, 422)
    async with httpx.AsyncClient(base_url=attacker.http.base_url) as client:
        for path in PATHS:
            response = await client.get(path, headers=attacker.bearer)
            assert_problem(response, 400, 403, 404, 422)


async def test_a_method_that_a_path_does_not_know_is_named_with_those_it_does(attacker):
    for method, path in (
        ("PUT", "/api/v1/users"),
        ("TRACE", "/api/v1/users/me"),
        ("DELETE", "/api/v1/jobs"),
        ("POST", "/.well-known/jwks.json"),
    ):
        response = await attacker.http.request(method, path, headers=attacker.bearer)
        assert_problem(response, 405)
        assert method not in response.headers["allow"].split(", ")


@pytest.mark.parametrize("name", SMUGGLED)
async def test_what_two_servers_could_read_differently_is_refused(suite, name):
    heard = await said_to(suite, SMUGGLED[name])
    head, _, body = heard.partition(b"\r\n\r\n")
    status = 505 if name.startswith("http/") else 400
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), heard[:200]
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == status
    assert heard.count(b"HTTP/1.1 ") == 1, "a second request was heard"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 200_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 30_000 + b"\r\n", 431),
        (b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 120_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    ],
    ids=["one header", "many headers", "a path", "in one packet", "64 KiB"],
)
async def test_a_huge_head_is_refused(suite, sent, status):
    heard = await said_to(suite, sent)
    assert heard.startswith(f"HTTP/1.1 {status} ".encode()), heard[:200]


async def test_a_form_of_many_or_repeated_fields_is_refused(attacker):
    path, form = "/api/v1/auth/token", {"Content-Type": "application/x-www-form-urlencoded"}
    for body in (
        "&".join(f"f{number}=1" for number in range(1000)),
        "grant_type=password&grant_type=refresh_token",
        "grant_type=password&username=%00&password=x",
        "grant_type=%ff",
        "=" * 10_000,
    ):
        response = await attacker.http.post(path, content=body, headers=form)
        assert response.status_code == 400, body[:60]
        assert response.json()["error"] in {"invalid_request", "unsupported_grant_type"}
    large = await attacker.http.post(path, content="a=" + "b" * 100_000, headers=form)
    assert large.status_code == 413


async def test_fifty_megabytes_of_json_are_refused_without_being_kept(suite, scaled, figure):
    if not suite.management:
        pytest.skip("a suite by URL does not show its memory")
    clients, size = scaled(4, 16), 50 * 1024 * 1024
    piece = b'{"name": "' + b"x" * 65_526

    async def flood(*, chunked: bool) -> bytes:
        parts = urlsplit(suite.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        writer.write(
            f"POST /api/v1/users HTTP/1.1\r\nHost: a\r\n{framing}\r\n"
            "Content-Type: application/json\r\n\r\n".encode()
        )
        sending = asyncio.create_task(pour(writer, chunked=chunked))
        with contextlib.suppress(ConnectionError):
            heard = await reader.read(200)
        sending.cancel()
        writer.close()
        return heard

    async def pour(writer: asyncio.StreamWriter, *, chunked: bool) -> None:
        with contextlib.suppress(ConnectionError):
            for _ in range(size // len(piece)):
                writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if chunked else piece)
                await writer.drain()

    await flood(chunked=True)  # what is imported and pooled at first use is no leak
    before = await rss(suite)
    heard = await asyncio.gather(*(flood(chunked=number % 2 == 1) for number in range(clients)))
    grew = (await rss(suite) - before) / 1024 / 1024
    figure("50 MB bodies to a JSON route", sent=clients, refused=len(heard), rss_grew_mb=grew)
    assert all(one.startswith(b"HTTP/1.1 413 ") for one in heard)
    assert grew < 2 * clients, "of the 50 that each has sent"
