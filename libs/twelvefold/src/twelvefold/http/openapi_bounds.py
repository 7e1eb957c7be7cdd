"""Bounds in the OpenAPI document: lengths of strings and lists, formats of integers.

Owns the completion of what pydantic leaves open; a bound that a schema states itself counts. All
are true of every value that this release sends, so that a client can reserve memory and columns
(OWASP API4:2023).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

MAX_TEXT = 65_536  # characters of any text without a bound of its own
MAX_INTEGER = 2**53 - 1  # the largest that every JSON parser reads exactly (RFC 8259 section 6)
_INT32 = 2**31 - 1
_LENGTHS = {"uuid": 36, "date": 10, "date-time": 35, "email": 320, "idn-email": 320}
_SKIPPED = frozenset({"example", "examples", "default", "enum", "const"})


def add_bounds(document: dict[str, Any], *, max_body_bytes: Callable[[str], int]) -> None:
    """Complete every schema of the document in place, idempotently.

    `max_body_bytes` returns the bound of a body by its path, which applies to binary ones.
    Addresses become `idn-email`, since they may be international (RFC 6531).
    """
    for schema in _schemas(document):
        kind = schema.get("type")
        if kind == "integer":
            schema.setdefault("minimum", 0)  # all are counts and sizes
            schema.setdefault("maximum", MAX_INTEGER)
            schema.setdefault("format", "int32" if schema["maximum"] <= _INT32 else "int64")
        elif kind == "string" and not schema.keys() & {"enum", "const"}:
            if schema.get("format") == "email":
                schema["format"] = "idn-email"
            if schema.get("format") != "binary":
                schema.setdefault("maxLength", _LENGTHS.get(schema.get("format", ""), MAX_TEXT))
    for path, item in document.get("paths", {}).items():
        for operation in item.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                if content.get("schema", {}).get("format") == "binary":
                    # A copy, because several operations share the schema.
                    content["schema"] = {**content["schema"], "maxLength": max_body_bytes(path)}


def _schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of the document that has a type, at any depth."""
    if isinstance(node, list):
        for each in node:
            yield from _schemas(each)
    elif isinstance(node, dict):
        if isinstance(node.get("type"), str):
            yield node
        for name, each in node.items():
            if name not in _SKIPPED:
                yield from _schemas(each)
