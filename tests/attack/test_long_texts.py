"""Long texts that make a careless expression work: in paths, queries, headers, forms and bodies.

Whatever a request holds, it does not hold up the event loop: what it costs of a processor says so,
which is no matter of what else runs on the machine. The bound of 50 ms counts at full scale; a
small run, whose clock of 10 ms is spread over few requests, allows more. That each expression is
linear is `tests/unit/test_expressions.py`'s.
"""

import re
from typing import Any
from urllib.parse import quote

import httpx
import pytest

pytestmark = pytest.mark.timeout(300)
MAX_STALL = 0.05  # seconds
LENGTH = 32_000  # bytes of a header or a field
URL_LENGTH = 16_000  # bytes of a path or a query; beyond it a request is refused unread
PIECES = (
    "=a.", "a://b:", "eyJaaaaaaaa-", "-----BEGIN PRIVATE KEY-----", "Key (", "bearer ", "token=",
    '"', 'W/"', "\\\\", "a@", "a.", "%61", ",", ";", " ", "x",
)  # fmt: skip
HEADERS = (
    "Authorization", "Cookie", "If-None-Match", "If-Match", "Idempotency-Key", "X-Request-ID",
    "traceparent", "tracestate", "baggage", "b3", "Accept", "Accept-Encoding", "Content-Type",
    "Origin", "Host", "X-Forwarded-For", "X-Forwarded-Proto", "Last-Event-ID", "User-Agent",
)  # fmt: skip


def long(piece: str, length: int = LENGTH) -> str:
    return (piece * (length // len(piece) + 1))[:length].strip() or "x"


async def busy(suite) -> float:
    """Seconds of a processor that api's process has taken so far."""
    async with httpx.AsyncClient(timeout=60) as client:
        text = (await client.get(f"{suite.management['api']}/metrics")).text
    found = re.search(r"^process_cpu_seconds_total (\S+)", text, re.MULTILINE)
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("place", ["path", "query", "header", "form", "body"])
async def test_no_text_holds_up_the_event_loop(suite, attacker, place, scaled, figure):
    if not suite.management:
        pytest.skip("a suite by URL does not show what it costs")
    pieces = PIECES[: scaled(3, len(PIECES))]
    repeats = scaled(3, 5)
    await busy(suite)  # what is imported at first use is none of an attack's cost
    costs: dict[str, float] = {}
    for piece in pieces:
        for name, request in requests(place, piece).items():
            before = await busy(suite)
            for _ in range(repeats):
                response = await attacker.http.send(attacker.http.build_request(**request))
                assert response.status_code < 500, f"{name}: {response.text[:200]}"
            costs[f"{name} of {piece!r}"] = (await busy(suite) - before) / repeats
    worst = max(costs, key=lambda name: costs[name])
    figure(
        f"long texts in a {place}",
        requests=len(costs) * repeats,
        most_ms_of_the_loop=costs[worst] * 1000,
        at=worst,
    )
    assert costs[worst] < scaled(5, 1) * MAX_STALL, worst


def requests(place: str, piece: str) -> dict[str, dict[str, Any]]:
    """Requests as httpx takes them, by name, with the long text at one place."""
    text = long(piece)
    if place in ("path", "query"):
        encoded = quote(text, safe="=.:@,;/")[:URL_LENGTH].removesuffix("%").removesuffix("%2")
        urls = {
            "path": ("/", "/api/v1/users/", "/api/v1/images/", "/.well-known/", "/problems/"),
            "query": ("/api/v1/images?cursor=", "/api/v1/jobs?limit=", "/health?"),
        }
        return {url: {"method": "GET", "url": f"{url}{encoded}"} for url in urls[place]}
    if place == "header":
        return {
            name: {"method": "PATCH", "url": "/api/v1/users/me", "headers": {name: text}}
            for name in HEADERS
        }
    if place == "form":
        forms: dict[str, dict[str, str]] = {
            "username": {"grant_type": "password", "username": text, "password": "x"},
            "refresh_token": {"grant_type": "refresh_token", "refresh_token": text},
            "grant_type": {"grant_type": text},
            "a field's name": {text: "x"},
        }
        return {
            name: {"method": "POST", "url": "/api/v1/auth/token", "data": form}
            for name, form in forms.items()
        }
    large = long(piece, 500_000)  # escaped, still under the bound of a body
    profile = {"email": "a@example.com", "name": "Mallory", "password": "long enough to be one"}
    bodies: dict[str, dict[str, Any]] = {
        "email": {**profile, "email": large},
        "local part": {**profile, "email": f"{large}@example.com"},
        "domain": {**profile, "email": f"a@{large}"},
        "name": {**profile, "name": large},
        "a member's name": {large: 1},
    }
    return {
        name: {"method": "POST", "url": "/api/v1/users", "json": body}
        for name, body in bodies.items()
    }
