"""The OpenAPI document: what FastAPI makes, with our errors in the place of its own.

Owns the schema of problems in the document. What a route answers is said at the route.
"""

from typing import Any

from .problems import MEDIA_TYPE, Problem

_REF = {"schema": {"$ref": "#/components/schemas/Problem"}}
_FASTAPI_ONLY = ("HTTPValidationError", "ValidationError")
_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})


def with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """Describes errors as problems, in place; doing it twice changes nothing more.

    Every operation gets a `default` answer, since any of them may be refused by a layer in front
    of it (400, 413, 429, 503).
    """
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    for name in _FASTAPI_ONLY:
        schemas.pop(name, None)
    for path in document.get("paths", {}).values():
        for method, operation in path.items():
            if method in _METHODS:
                _describe(operation.setdefault("responses", {}))
    return document


def _describe(responses: dict[str, Any]) -> None:
    for response in responses.values():
        content = response.get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        if schema.get("$ref", "").endswith("/HTTPValidationError"):
            response["description"] = "Invalid content"
            response["content"] = {MEDIA_TYPE: _REF}
    responses.setdefault("default", {"description": "Any error", "content": {MEDIA_TYPE: _REF}})
