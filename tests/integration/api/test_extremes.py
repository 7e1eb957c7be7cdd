"""Query parameters at the ends of their ranges and far beyond never cause a server error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from twelvefold.contracts.accounts import Role

DATES = ("0001-01-01", "9999-12-31", "0000-01-01", "10000-01-01", "-0001-01-01", "2024-02-30")
NUMBERS = (
    "0",
    "-1",
    "1",
    "100",
    "9223372036854775807",
    "-9223372036854775809",
    "9" * 5000,
    "1e999",
)
TEXTS = ("", " ", "é", "\U0010ffff", "%", "a" * 8000, "00000000-0000-0000-0000-000000000000")
EXTREMES = (*DATES, *NUMBERS, *TEXTS, "nan", "inf", "9999-12-31T23:59:60Z")


def queries(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each read with each of its parameters at each extreme, the others as they have to be."""
    for path, operations in document["paths"].items():
        parameters = operations.get("get", {}).get("parameters", [])
        names = [one["name"] for one in parameters if one["in"] == "query"]
        dates = {name: "2026-01-01" for name in names if name in ("from", "to")}
        for name in names:
            for value in EXTREMES:
                yield path, {**dates, name: value}
        if dates:
            for value in DATES:
                yield path, dict.fromkeys(dates, value)


async def test_no_query_parameter_causes_a_server_error(sign_in):
    admin = await sign_in(Role.ADMIN)
    document = (await admin.client.get("/openapi.json")).json()
    tried = list(queries(document))
    assert {name for _, query in tried for name in query} >= {
        "limit",
        "cursor",
        "from",
        "to",
        "type",
    }
    for path, query in tried:
        response = await admin.client.get(path, params=query)
        assert response.status_code < 500, (path, query, response.text)


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_the_first_and_the_last_day_there_are_can_be_asked_for(sign_in, day):
    admin = await sign_in(Role.ADMIN)
    response = await admin.client.get("/api/v1/analytics/daily", params={"from": day, "to": day})
    assert response.status_code == 200
    assert [item["day"] for item in response.json()["items"]] == [day]


SPELLINGS = [
    ("/api/v1/jobs?limit=1_0", "/query/limit"),
    ("/api/v1/jobs?limit=%2B5", "/query/limit"),
    ("/api/v1/jobs?limit=%205", "/query/limit"),
    ("/api/v1/jobs?limit=05", "/query/limit"),
    ("/api/v1/jobs?limit=5.0", "/query/limit"),
    ("/api/v1/jobs?owner_id=00000000000070008000000000000000", "/query/owner_id"),
    ("/api/v1/jobs/urn:uuid:00000000-0000-7000-8000-000000000000", "/path/job_id"),
    ("/api/v1/images/%7B00000000-0000-7000-8000-000000000000%7D", "/path/image_id"),
    ("/api/v1/analytics/daily?from=1795824000&to=2026-11-28", "/query/from"),
    ("/api/v1/analytics/daily?from=2026-11-28T00:00:00&to=2026-11-28", "/query/from"),
]


@pytest.mark.parametrize(("url", "pointer"), SPELLINGS)
async def test_a_value_has_the_one_spelling_that_the_document_states(sign_in, url, pointer):
    admin = await sign_in(Role.ADMIN)
    response = await admin.client.get(url)
    assert response.status_code == 422, response.text
    assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]


async def test_a_flag_is_a_json_boolean(sign_in):
    admin = await sign_in(Role.ADMIN)
    response = await admin.client.patch(
        f"/api/v1/users/{admin.id}", json={"disabled": "yes"}, headers={"If-Match": "*"}
    )
    assert response.status_code == 422
    assert [fault["pointer"] for fault in response.json()["errors"]] == ["/body/disabled"]


async def test_a_problem_lists_a_bounded_number_of_faults(anonymous):
    body = dict.fromkeys((f"member{number}" for number in range(1_000)), 0)
    response = await anonymous.post("/api/v1/users", json=body)
    assert response.status_code == 422
    assert len(response.json()["errors"]) == 100
