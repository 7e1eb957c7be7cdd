"""Additions to the OpenAPI document: tags, examples, links, a plain bearer token.

Does not change the responses of routes. Problems and common headers come from
twelvefold.http.openapi.
"""

from typing import Any

from fastapi import FastAPI

from api.examples import with_examples
from twelvefold.http.openapi import PROBES, RATE_LIMIT, operations

_TAGS = [
    {"name": "users", "description": "Accounts, their profiles and avatars."},
    {"name": "auth", "description": "Tokens, verification of addresses, password resets."},
    {"name": "images", "description": "Uploads and the smaller copies made of them."},
    {"name": "jobs", "description": "Background work: watch, cancel and retry it."},
    {"name": "admin", "description": "Operations for admins."},
    {"name": "discovery", "description": "Keys and endpoints for verifiers and OAuth clients."},
    {"name": PROBES, "description": "Whether the API answers. No token, never limited."},
]
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "An access token.",
}
_JOB_OF_RESPONSE = {
    "get_job": {"job_id": "$response.body#/id"},
    "cancel_job": {"job_id": "$response.body#/id"},
    "watch_job": {"job_id": "$response.body#/id"},
}
# Operations after a response (OpenAPI links): operation and status -> operation -> parameters.
_LINKS: dict[tuple[str, str], dict[str, dict[str, str]]] = {
    ("create_user", "201"): {"get_user": {"user_id": "$response.body#/id"}},
    ("get_me", "200"): {
        "get_user": {"user_id": "$response.body#/id"},
        "update_me": {"if-match": "$response.header.ETag"},
    },
    ("put_my_avatar", "202"): _JOB_OF_RESPONSE,
    ("create_job", "202"): _JOB_OF_RESPONSE,
    ("cancel_job", "202"): {"retry_job": {"job_id": "$response.body#/id"}},
    ("create_image", "202"): {
        "get_image": {"image_id": "$response.body#/image/id"},
        "delete_image": {"image_id": "$response.body#/image/id"},
        "get_job": {"job_id": "$response.body#/job/id"},
        "cancel_job": {"job_id": "$response.body#/job/id"},
        "watch_job": {"job_id": "$response.body#/job/id"},
    },
    ("get_image", "200"): {
        "delete_image": {
            "image_id": "$request.path.image_id",
            "if-match": "$response.header.ETag",
        },
    },
    ("list_images", "200"): {"list_images": {"cursor": "$response.body#/next_cursor"}},
    ("list_jobs", "200"): {"list_jobs": {"cursor": "$response.body#/next_cursor"}},
}


def document(app: FastAPI) -> None:
    """Complete the document of `app`; it is built once, at the first request."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        made = app.openapi_schema is None
        found = described()
        if made:
            _complete(found)
        return found

    app.openapi_tags = _TAGS
    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _complete(found: dict[str, Any]) -> None:
    components = found["components"]
    components["securitySchemes"]["bearer"] = _BEARER
    with_examples(components["schemas"])
    for _, operation in operations(found):
        if operation.get("security"):
            # Clients that hold a token need no OAuth flow to send it.
            operation["security"].append({"bearer": []})
        if "428" in operation["responses"]:
            _require_if_match(operation["parameters"])
        if PROBES not in operation["tags"]:
            _show_limits(operation["responses"])
        _link(operation)


def _require_if_match(parameters: list[dict[str, Any]]) -> None:
    # FastAPI would answer a missing required header with 422; the API answers 428.
    for parameter in parameters:
        if parameter["name"] == "if-match":
            parameter["required"] = True


def _show_limits(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        if status < "400":
            for name in RATE_LIMIT:
                response["headers"].setdefault(name, {"$ref": f"#/components/headers/{name}"})


def _link(operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        links = _LINKS.get((operation["operationId"], status), {})
        for target, parameters in links.items():
            response.setdefault("links", {})[target] = {
                "operationId": target,
                "parameters": parameters,
            }
