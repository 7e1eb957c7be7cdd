"""The gate on the public contract: planted breaks are found, additions pass."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.contract.compatibility import breaks, main

DOCS = Path(__file__).parents[2] / "docs/api"
Json = dict[str, Any]


def small() -> Json:
    """One of each that matters; a request and a response share the schema Thing."""
    thing = {
        "type": "object",
        "required": ["id", "kind"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "kind": {"type": "string", "enum": ["a", "b"]},
            "note": {"anyOf": [{"type": "string", "maxLength": 10}, {"type": "null"}]},
            "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}},
        },
    }
    reference = {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}
    operation = {
        "operationId": "make_thing",
        "security": [{"oauth2": ["things:write"]}, {"bearer": []}],
        "parameters": [{"name": "limit", "in": "query", "schema": {"type": "integer"}}],
        "requestBody": {"required": False, "content": copy.deepcopy(reference)},
        "responses": {
            "200": {"description": "", "content": reference, "headers": {"ETag": {}}},
            "202": {"description": ""},
            "404": {"description": ""},
        },
    }
    return {"paths": {"/things": {"post": operation}}, "components": {"schemas": {"Thing": thing}}}


def post(document: Json) -> Json:
    found: Json = document["paths"]["/things"]["post"]
    return found


def properties(document: Json) -> Json:
    found: Json = document["components"]["schemas"]["Thing"]["properties"]
    return found


def schema(document: Json) -> Json:
    found: Json = document["components"]["schemas"]["Thing"]
    return found


STRING = {"type": "string"}
BREAKS: dict[str, Callable[[Json], Any]] = {
    "POST /things: is gone": lambda it: it["paths"]["/things"].pop("post"),
    "operationId: was make_thing": lambda it: post(it).update(operationId="create_thing"),
    "query parameter limit: is gone": lambda it: post(it).update(parameters=[]),
    "query parameter limit: is now required": lambda it: post(it)["parameters"][0].update(
        required=True
    ),
    "query parameter limit: type was integer, is string": lambda it: post(it)["parameters"][
        0
    ].update(schema=STRING),
    "query parameter limit: maximum was None, is 5": lambda it: post(it)["parameters"][0][
        "schema"
    ].update(maximum=5),
    "header parameter if-match: is now required": lambda it: post(it)["parameters"].append(
        {"name": "If-Match", "in": "header", "required": True, "schema": STRING}
    ),
    "body: is now required": lambda it: post(it)["requestBody"].update(required=True),
    "body: is no longer application/json": lambda it: post(it)["requestBody"].update(content={}),
    "body.extra: is now required": lambda it: (
        properties(it).update(extra=STRING),
        schema(it)["required"].append("extra"),
    ),
    "body: no longer takes properties": lambda it: schema(it).update(additionalProperties=False),
    "body.kind: values were a or b, are a": lambda it: properties(it)["kind"].update(enum=["a"]),
    "200.kind: values were a or b, are a or b or c": lambda it: properties(it)["kind"].update(
        enum=["a", "b", "c"]
    ),
    "body.note: no longer takes string": lambda it: properties(it).update(
        note={"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]}
    ),
    "200.id: may now be null": lambda it: properties(it).update(
        id={"anyOf": [properties(it)["id"], {"type": "null"}]}
    ),
    "200.id: is gone": lambda it: properties(it).pop("id"),
    "200.id: is no longer always there": lambda it: schema(it)["required"].remove("id"),
    "200.id: format was uuid, is None": lambda it: properties(it)["id"].pop("format"),
    "200: is gone": lambda it: post(it)["responses"].pop("200"),
    "200: is no longer application/json": lambda it: post(it)["responses"]["200"].update(
        content={}
    ),
    "200: header ETag is gone": lambda it: post(it)["responses"]["200"].pop("headers"),
    "204: is a new success": lambda it: post(it)["responses"].update({"204": {}}),
    'security: {"oauth2": ["things:write"]} no longer suffices': lambda it: post(it).update(
        security=[{"oauth2": ["things:write", "admin"]}, {"bearer": []}]
    ),
}
ADDITIONS: dict[str, Callable[[Json], Any]] = {
    "an operation": lambda it: it["paths"].update({"/more": {"get": post(it)}}),
    "an optional parameter": lambda it: post(it)["parameters"].append(
        {"name": "cursor", "in": "query", "schema": STRING}
    ),
    "an optional property": lambda it: properties(it).update(extra=STRING),
    "an error": lambda it: post(it)["responses"].update({"429": {"description": ""}}),
    "one error less": lambda it: post(it)["responses"].pop("404"),
    "a header": lambda it: post(it)["responses"]["200"]["headers"].update(Link={}),
    "a media type of the body": lambda it: post(it)["requestBody"]["content"].update(
        {"application/xml": {"schema": STRING}}
    ),
    "a wider parameter": lambda it: post(it)["parameters"][0].update(
        schema={"anyOf": [{"type": "integer"}, {"type": "null"}]}
    ),
    "fewer scopes": lambda it: post(it).update(security=[{"oauth2": []}, {"bearer": []}]),
}


@pytest.mark.parametrize("expected", BREAKS)
def test_a_planted_break_is_found(expected):
    document = small()
    BREAKS[expected](document)
    assert any(expected in line for line in breaks(small(), document))


@pytest.mark.parametrize("addition", ADDITIONS)
def test_an_addition_breaks_nobody(addition):
    document = small()
    ADDITIONS[addition](document)
    assert list(breaks(small(), document)) == []


def test_our_own_document_is_compatible_with_itself_and_not_with_half_of_it():
    document = json.loads((DOCS / "api.json").read_text())
    assert list(breaks(document, document)) == []
    half = copy.deepcopy(document)
    for path in list(half["paths"])[::2]:
        del half["paths"][path]
    assert len(list(breaks(document, half))) >= len(half["paths"])


@pytest.mark.parametrize(
    ("declarations", "code"),
    [
        ("", 1),
        ('[[break]]\nchange = "POST /things: is gone"\nreason = "nobody used it"', 0),
        ('[[break]]\nchange = "* /things: is gone"\nreason = "nobody used it"', 0),
        ('[[break]]\nchange = "GET /other: is gone"\nreason = "it is not"', 1),
        ('[[break]]\nchange = "GET *"\nreason = "it is not"', 1),
    ],
    ids=[
        "undeclared",
        "declared",
        "declared by a pattern",
        "declared but not so",
        "a pattern for nothing",
    ],
)
def test_a_break_passes_only_where_it_is_declared(tmp_path, declarations, code):
    old, new, file = tmp_path / "old.json", tmp_path / "new.json", tmp_path / "breaking.toml"
    broken = small()
    del broken["paths"]["/things"]["post"]
    old.write_text(json.dumps(small()))
    new.write_text(json.dumps(broken))
    file.write_text(declarations)
    assert main(old, new, file) == code


def test_a_declaration_without_a_reason_is_refused(tmp_path):
    file = tmp_path / "breaking.toml"
    file.write_text('[[break]]\nchange = "POST /things: is gone"\nreason = " "')
    document = DOCS / "api.json"
    with pytest.raises(ValueError, match="without a reason"):
        main(document, document, file)
