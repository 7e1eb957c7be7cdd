"""What the OpenAPI document says beyond the routes: tags, and bearer as a plain alternative."""

from typing import Any

from fastapi import FastAPI

_TAGS = [
    {"name": "users", "description": "Accounts, their profiles and avatars."},
    {"name": "auth", "description": "Tokens, verification of addresses, password resets."},
    {"name": "images", "description": "Uploads and the smaller copies made of them."},
    {"name": "jobs", "description": "Work in the background: watch it, cancel it, retry it."},
    {"name": "discovery", "description": "Keys and endpoints for verifiers and OAuth clients."},
]
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "An access token, however it was had.",
}


def document(app: FastAPI) -> None:
    """Has `app` describe itself in full; the document is made once, at the first request."""
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
    found["components"]["securitySchemes"]["bearer"] = _BEARER
    for path in found["paths"].values():
        for operation in path.values():
            if operation.get("security"):
                # Clients that hold a token need no OAuth flow to send it.
                operation["security"].append({"bearer": []})
            if "428" in operation["responses"]:
                _require_if_match(operation["parameters"])


def _require_if_match(parameters: list[dict[str, Any]]) -> None:
    # FastAPI would answer 422 for a header that it takes for required; we answer 428.
    for parameter in parameters:
        if parameter["name"] == "if-match":
            parameter["required"] = True
