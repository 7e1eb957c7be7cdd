"""Additions to the OpenAPI document: tags, scopes, examples, links, a plain bearer token.

Does not change the responses of routes. Problems and common headers come from
twelvefold.http.openapi.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from twelvefold.http.openapi import PROBES, RATE_LIMIT, operations

_PROBES_TAG = {
    "name": PROBES,
    "description": "Whether the API answers. No token, never limited.",
}
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "An access token, verified by the rules of RFC8725 and RFC9068.",
}


@dataclass(frozen=True, slots=True)
class Documentation:
    """What a service adds to its document."""

    tags: Mapping[str, str]  # descriptions by name, in the order of the document
    scopes: Mapping[str, str]  # descriptions of the scopes of its tokens, by name
    # Operations after a response (OpenAPI links): operation and status -> operation -> parameters.
    links: Mapping[tuple[str, str], Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    # By the name of a schema. Beside them count the examples in the models of `schemas`.
    examples: Mapping[str, Any] = field(default_factory=dict)
    schemas: Sequence[ModuleType] = ()
    # Schemas of lists, and of their items, whose examples they get.
    pages: Mapping[str, str] = field(default_factory=dict)


def document(app: FastAPI, documentation: Documentation) -> None:
    """Complete the document of `app`; it is built once, at the first request."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        made = app.openapi_schema is None
        found = described()
        if made:
            _complete(found, documentation)
        return found

    tags = [{"name": name, "description": text} for name, text in documentation.tags.items()]
    app.openapi_tags = [*tags, _PROBES_TAG]
    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _complete(found: dict[str, Any], documentation: Documentation) -> None:
    components = found["components"]
    schemes = components.setdefault("securitySchemes", {})
    schemes["bearer"] = _BEARER
    if oauth2 := schemes.get("oauth2"):
        oauth2["flows"]["password"]["scopes"] = dict(documentation.scopes)
    _add_examples(components["schemas"], documentation)
    used = {tag for _, operation in operations(found) for tag in operation["tags"]}
    found["tags"] = [tag for tag in found["tags"] if tag["name"] in used]
    for _, operation in operations(found):
        if operation.get("security"):
            # Clients that hold a token need no OAuth flow to send it.
            operation["security"].append({"bearer": []})
        if PROBES not in operation["tags"]:
            _show_limits(operation["responses"])
        _link(operation, documentation)


def _show_limits(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        if status < "400":
            for name in RATE_LIMIT:
                response["headers"].setdefault(name, {"$ref": f"#/components/headers/{name}"})


def _link(operation: dict[str, Any], documentation: Documentation) -> None:
    for status, response in operation["responses"].items():
        links = documentation.links.get((operation["operationId"], status), {})
        for target, parameters in links.items():
            response.setdefault("links", {})[target] = {
                "operationId": target,
                "parameters": dict(parameters),
            }


_CURSOR = "kq3Zb1tWvXo0d2hSd0ZrUQ"


def _add_examples(found: dict[str, Any], documentation: Documentation) -> None:
    """Add the examples to the schemas of a document, in place.

    Also restores what FastAPI removes: it drops every null from an example, and with it required
    members.
    """
    examples = {**documentation.examples}
    for module in documentation.schemas:
        examples |= _examples_of(module)
    for page, item in documentation.pages.items():
        examples[page] = {"items": [examples[item]], "next_cursor": _CURSOR}
    for name, example in examples.items():
        if name in found:
            found[name]["examples"] = [example]


def _examples_of(schemas: ModuleType) -> dict[str, Any]:
    """Return the examples in the models of a module, nulls included."""
    own = {}
    for name, model in vars(schemas).items():
        if isinstance(model, type) and issubclass(model, BaseModel):
            extra = model.model_config.get("json_schema_extra")
            examples = extra.get("examples") if isinstance(extra, dict) else None
            if isinstance(examples, list):
                own[name] = examples[0]
    return own
