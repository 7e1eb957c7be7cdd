"""Headers that come more than once or in odd characters, and slashes that are encoded."""

from typing import Any

import pytest
from tests.unit.http.demo import demo

from twelvefold.http.middleware.header_fields import (
    LIST_HEADERS,
    MAX_FIELD_BYTES,
    MAX_ROUTING_BYTES,
    SINGLE_HEADERS,
    normalize_head,
)


def scope(*headers: tuple[str, str]) -> dict[str, Any]:
    return {"headers": [(name.encode(), value.encode("latin-1")) for name, value in headers]}


@pytest.mark.parametrize("name", sorted(name.decode() for name in SINGLE_HEADERS))
async def test_a_repeated_header_of_one_value_is_refused(name):
    async with demo() as it:
        for second in ("a", "b"):
            headers = [(name, "a"), ("accept", "*/*"), (name.title(), second)]
            response = await it.client.get("/api/v1/context", headers=headers)
            assert response.status_code == 400
            assert response.headers["content-type"] == "application/problem+json"
            fault = {"pointer": f"/header/{name}", "detail": "is repeated"}
            assert response.json()["errors"] == [fault]


@pytest.mark.parametrize("name", sorted(name.decode() for name in LIST_HEADERS))
def test_several_lines_of_a_list_are_one_list(name):
    found = scope((name, '"v1"'), ("accept", "*/*"), (name, 'W/"v2", "v3"'), (name, "*"))
    assert normalize_head(found) is None
    assert found == scope(("accept", "*/*"), (name, '"v1", W/"v2", "v3", *'))


def test_unread_headers_may_be_repeated():
    found = scope(("accept", "é"), ("accept", "b"), ("x-forwarded-for", "a"), ("cookie", "é"))
    assert normalize_head(found) is None
    assert found == scope(
        ("accept", "é"), ("accept", "b"), ("x-forwarded-for", "a"), ("cookie", "é")
    )


@pytest.mark.parametrize(
    "name",
    ["canary", "experiment", "idempotency-key", "if-match", "if-none-match", "last-event-id"],
)
@pytest.mark.parametrize("value", ["naïve", "\x7f", "a\x01b", "\xa0"])
async def test_a_forwarded_or_stored_header_must_be_printable(name, value):
    async with demo() as it:
        headers = {name.encode(): value.encode("latin-1")}
        response = await it.client.get("/api/v1/context", headers=headers)
    assert response.status_code == 400
    fault = {"pointer": f"/header/{name}", "detail": "is not printable ASCII"}
    assert response.json()["errors"] == [fault]


@pytest.mark.parametrize("name", ["if-match", "if-none-match", "last-event-id"])
async def test_a_header_that_is_read_has_the_bound_that_the_document_states(name):
    async with demo() as it:
        statuses = [
            (await it.client.get("/api/v1/context", headers={name: "x" * length})).status_code
            for length in (MAX_FIELD_BYTES, MAX_FIELD_BYTES + 1)
        ]
        half = "x" * (MAX_FIELD_BYTES // 2)
        joined = await it.client.get("/api/v1/context", headers=[("if-match", half)] * 2)
    assert statuses == [200, 400]
    assert joined.status_code == 400
    assert joined.json()["errors"][0]["pointer"] == "/header/if-match"


@pytest.mark.parametrize("name", ["canary", "experiment"])
async def test_a_routing_header_must_be_short(name):
    async with demo() as it:
        longest = await it.client.get("/api/v1/context", headers={name: "x" * MAX_ROUTING_BYTES})
        longer = await it.client.get(
            "/api/v1/context", headers={name: "x" * (MAX_ROUTING_BYTES + 1)}
        )
    assert longest.json()["routing"] == {name: "x" * MAX_ROUTING_BYTES}
    assert longer.status_code == 400
    assert longer.json()["errors"][0]["pointer"] == f"/header/{name}"


@pytest.mark.parametrize("digits", ["9" * 13, "9" * 5000])
async def test_a_deadline_of_any_length_is_handled(digits):
    async with demo(public=False) as it:
        response = await it.client.get("/api/v1/context", headers={"x-request-deadline": digits})
    assert 25 < response.json()["remaining"] <= 30


@pytest.mark.parametrize("slash", ["%2F", "%2f"])
async def test_an_encoded_slash_is_no_separator(slash):
    async with demo() as it:
        assert (await it.client.get("/api/v1/context")).status_code == 200
        assert (await it.client.get(f"/api/v1{slash}context")).status_code == 404
        assert (await it.client.get(f"/api{slash}v1/context")).status_code == 404
        value = await it.client.get(f"/api/v1/things/1{slash}2")
        assert value.status_code == 422
        assert value.json()["instance"] == "/api/v1/things/1%2F2"
        rest = await it.client.get(f"/api/v1/files/a{slash}b/%C3%A9%20c?d={slash}")
        assert rest.json() == {"name": "a%2Fb/é c"}
