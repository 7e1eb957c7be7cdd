"""The OpenAPI document itself: is it worth generating from?"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from tests.contract.compatibility import resolve

from twelvefold.http.openapi import PROBES, operations

DOCS = Path(__file__).parents[2] / "docs/api"
DOCUMENT: dict[str, Any] = json.loads((DOCS / "api.json").read_text(encoding="utf-8"))
# Standardised elsewhere (RFC 7517), or long and described by its parts.
WITHOUT_EXAMPLE = {"get_jwks 200", "export_me 200"}
OPERATIONS = {operation["operationId"]: operation for _, operation in operations(DOCUMENT)}


def responses(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        status: resolve(DOCUMENT, response) for status, response in operation["responses"].items()
    }


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every JSON body, of requests and successes, as (where, media type object)."""
    for name, operation in OPERATIONS.items():
        found = {"body": operation.get("requestBody", {}), **responses(operation)}
        for where, holder in found.items():
            for media, content in holder.get("content", {}).items():
                if media == "application/json":
                    yield f"{name} {where}", content


def examples(content: dict[str, Any]) -> list[Any]:
    schema = resolve(DOCUMENT, content["schema"])
    return [*([content["example"]] if "example" in content else []), *schema.get("examples", [])]


def test_every_operation_has_a_name_of_its_own_a_summary_and_a_tag():
    assert len(OPERATIONS) == sum(1 for _ in operations(DOCUMENT))
    for name, operation in OPERATIONS.items():
        assert re.fullmatch("[a-z]+(_[a-z]+)*", name)
        assert operation["summary"]
        assert len(operation["tags"]) == 1


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_status_is_listed_and_every_answer_names_its_request(name):
    operation = OPERATIONS[name]
    found = responses(operation)
    expected = {"400", "500", "503"}
    if PROBES not in operation["tags"]:
        expected.add("429")
    if operation.get("security"):
        expected |= {"401", "403"}
    if "requestBody" in operation:
        expected |= {"413", "422"}
    assert expected <= found.keys()
    assert "default" not in found
    for status, response in found.items():
        assert "X-Request-ID" in response["headers"]
        if status >= "400":
            assert "application/problem+json" in response["content"]
        if status in ("429", "503"):
            assert "Retry-After" in response["headers"]


def test_an_operation_needs_a_token_or_is_one_of_those_open_to_anyone():
    open_to_anyone = {name for name, entry in OPERATIONS.items() if not entry.get("security")}
    assert open_to_anyone == {
        "create_user",
        "create_token",
        "revoke_token",
        "request_email_verification",
        "confirm_email",
        "request_password_reset",
        "reset_password",
        "undo_email_change",
        "list_problem_types",
        "get_problem_type",
        "get_jwks",
        "get_server_metadata",
        "get_health",
        "get_ready",
    }


@pytest.mark.parametrize(
    ("where", "content"), [pytest.param(*found, id=found[0]) for found in bodies()]
)
def test_an_example_is_valid_by_its_schema(where, content):
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    found = examples(content)
    assert found or where in WITHOUT_EXAMPLE
    for example in found:
        validator.validate(example)


def test_links_lead_to_operations_and_parameters_that_there_are():
    for operation in OPERATIONS.values():
        for response in responses(operation).values():
            for link in response.get("links", {}).values():
                target = OPERATIONS[link["operationId"]]
                known = {parameter["name"] for parameter in target["parameters"]}
                assert link["parameters"].keys() <= known


DOCUMENTS = [DOCS / "api.json", *sorted(DOCS.glob("*-internal.json"))]


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema with a type, at any depth, examples apart."""
    if isinstance(node, list):
        for each in node:
            yield from schemas(each)
    elif isinstance(node, dict):
        if isinstance(node.get("type"), str):
            yield node
        for name, each in node.items():
            if name not in ("example", "examples", "default"):
                yield from schemas(each)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_each_document_bounds_its_texts_and_numbers_and_states_who_may_call(path):
    document = json.loads(path.read_text(encoding="utf-8"))
    for schema in schemas(document):
        if schema["type"] == "string":
            assert schema.keys() & {"maxLength", "enum", "const"}, schema
        if schema["type"] == "integer":
            assert {"format", "minimum", "maximum"} <= schema.keys(), schema
    for where, operation in operations(document):
        assert operation.get("description"), where
        assert "security" in operation, where
        for parameter in operation.get("parameters", ()):
            assert "null" not in json.dumps(parameter["schema"]), where
            if parameter["name"] == "if-match" and "428" in operation["responses"]:
                assert parameter["required"], where
    assert document["servers"]
    assert {"contact", "license", "description"} <= document["info"].keys()
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    assert {tag for _, operation in operations(document) for tag in operation["tags"]} <= tags
