"""Every error is application/problem+json, says where the fault is and never what was sent."""

import json

import pytest
from tests.unit.http.demo import SETTINGS, demo

PROBLEMS = [
    ("GET", "/api/v1/things/404", 404, "not-found"),
    ("GET", "/nowhere", 404, "not-found"),
    ("GET", "/api/v1/things/1/", 404, "not-found"),
    ("DELETE", "/api/v1/things/1", 405, "method-not-allowed"),
    ("GET", "/api/v1/things/one", 422, "invalid"),
    ("GET", "/api/v1/invalid", 422, "invalid"),
    ("GET", "/api/v1/boom", 500, "internal"),
    ("GET", "/api/v1/away", 503, "dependency-unavailable"),
    ("GET", "/api/v1/me", 401, "unauthenticated"),
    ("GET", "/api/v1/things/%00", 400, "bad-request"),
    ("GET", "/api/v1/search?limit=%00", 400, "bad-request"),
]


@pytest.mark.parametrize(("method", "path", "status", "code"), PROBLEMS)
async def test_an_error_is_a_problem_with_every_member(method, path, status, code):
    async with demo() as it:
        response = await it.client.request(method, path)
    problem = response.json()
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"/problems/{code}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"].startswith("/")
    assert problem["request_id"] == response.headers["x-request-id"]


async def test_the_headers_of_an_error_are_kept():
    async with demo() as it:
        assert (await it.client.get("/api/v1/away")).headers["retry-after"] == "3"
        challenge = (await it.client.get("/api/v1/me")).headers["www-authenticate"]
        assert challenge == 'Bearer realm="twelvefold", error="invalid_token"'


async def test_the_realm_is_the_name_of_the_suite():
    async with demo(SETTINGS.model_copy(update={"suite_name": "Acme Corp"})) as it:
        challenge = (await it.client.get("/api/v1/me")).headers["www-authenticate"]
    assert challenge == 'Bearer realm="acme corp", error="invalid_token"'


async def test_a_405_names_every_method_of_the_path():
    async with demo() as it:
        response = await it.client.delete("/api/v1/things/1")
    assert response.headers["allow"] == "GET, PUT"


async def test_faults_have_pointers_into_body_query_path_and_header():
    async with demo() as it:
        body = await it.client.post("/api/v1/accounts", json={"name": "x" * 21})
        query = await it.client.get("/api/v1/search?limit=101", headers={"X-Number": "many"})
        path = await it.client.get("/api/v1/things/one")
    assert [error["pointer"] for error in body.json()["errors"]] == ["/body/name", "/body/password"]
    pointers = {error["pointer"] for error in query.json()["errors"]}
    assert pointers == {"/query/limit", "/header/x-number"}
    assert [error["pointer"] for error in path.json()["errors"]] == ["/path/thing_id"]


async def test_a_422_never_repeats_a_value():
    async with demo() as it:
        response = await it.client.post("/api/v1/accounts", json={"name": 7, "password": "hunter2"})
    assert response.status_code == 422
    assert "hunter2" not in response.text
    assert "hunter2" not in json.dumps(it.lines)


async def test_malformed_json_is_a_400():
    async with demo() as it:
        response = await it.client.post(
            "/api/v1/accounts", content=b'{"name": ', headers={"Content-Type": "application/json"}
        )
    assert response.status_code == 400
    assert response.json()["type"] == "/problems/bad-request"


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[" * 1_000, b"{'a': 1}"])
async def test_undecodable_json_is_a_400(body):
    async with demo() as it:
        response = await it.client.post(
            "/api/v1/anything", content=body, headers={"Content-Type": "application/json"}
        )
    assert response.status_code == 400


async def test_a_body_of_another_type_is_a_415_and_none_at_all_a_422():
    async with demo() as it:
        foreign = await it.client.post(
            "/api/v1/accounts", content=b"name=x", headers={"Content-Type": "text/plain"}
        )
        missing = await it.client.post("/api/v1/accounts")
    assert foreign.status_code == 415
    assert missing.status_code == 422
    assert missing.json()["errors"][0]["pointer"] == "/body"


@pytest.mark.parametrize("text", [r'"a\u0000b"', r'"\\\u0000"'])
async def test_a_nul_in_json_is_refused(text):
    async with demo() as it:
        response = await it.client.post(
            "/api/v1/anything",
            content=f'{{"a": {text}}}',
            headers={"Content-Type": "application/json"},
        )
    assert response.status_code == 422
    assert response.json()["errors"] == [{"pointer": "/body", "detail": "contains a NUL character"}]


async def test_an_escaped_backslash_before_u0000_is_no_nul():
    async with demo() as it:
        response = await it.client.post("/api/v1/anything", json={"a": "\\u0000"})
    assert response.json() == {"a": "\\u0000"}


async def test_the_token_endpoint_has_errors_of_rfc_6749():
    async with demo() as it:
        response = await it.client.post("/api/v1/token")
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.json() == {
        "error": "invalid_grant",
        "error_description": "The password does not fit.",
    }


async def test_an_unexpected_error_is_logged_once_under_the_request_id():
    async with demo() as it:
        response = await it.client.get("/api/v1/boom")
    errors = [line for line in it.lines if line["level"] == "error"]
    assert [line["event"] for line in errors] == ["unhandled_error"]
    assert errors[0]["request_id"] == response.json()["request_id"]
    assert "unexpected" in errors[0]["exception"]
    assert "wires" not in response.text


async def test_the_openapi_document_describes_errors_as_problems():
    async with demo() as it:
        document = (await it.client.get("/openapi.json")).json()
    assert "HTTPValidationError" not in json.dumps(document)
    register = document["paths"]["/api/v1/accounts"]["post"]["responses"]
    assert "default" not in register
    assert register["422"] == {"$ref": "#/components/responses/Invalid"}
    assert register.keys() >= {"400", "413", "415", "429", "500", "503"}
    found = document["paths"]["/api/v1/things/{thing_id}"]["get"]["responses"]["404"]
    assert found == {"$ref": "#/components/responses/NotFound"}
    shared = document["components"]["responses"]
    assert shared["NotFound"]["description"] == "Not found"
    for response in shared.values():
        content = response["content"]["application/problem+json"]
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert "X-Request-ID" in response["headers"]
    assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= shared["TooManyRequests"][
        "headers"
    ].keys()
    members = document["components"]["schemas"]["Problem"]["properties"]
    assert set(members) == {
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "request_id",
        "errors",
    }
