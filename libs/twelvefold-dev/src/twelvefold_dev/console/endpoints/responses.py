"""What all endpoints share: JSON responses, checks of parameters, tables of routes."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_MAX_NUMBER = 2**53  # the largest integer that JavaScript represents exactly
T = TypeVar("T")


def get(path: str, endpoint: Any) -> Route:
    """Return the route of a read."""
    return Route(f"/api/{path}", endpoint, methods=["GET"])


def post(path: str, endpoint: Any) -> Route:
    """Return the route of a change, or of a read that reveals a secret."""
    return Route(f"/api/{path}", endpoint, methods=["POST"])


def delete(path: str, endpoint: Any) -> Route:
    """Return the route of a deletion."""
    return Route(f"/api/{path}", endpoint, methods=["DELETE"])


def json_response(content: Any) -> Response:
    """Encode `content` as JSON; times become ISO 8601 and other unknown types text."""
    body = json.dumps(content, default=_encode, separators=(",", ":"), ensure_ascii=False)
    return Response(body.encode("utf-8", "replace"), media_type="application/json")


def _encode(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def require(value: T | None, kind: str) -> T:
    """Return `value`, or respond 404 where it is None."""
    if value is None:
        raise HTTPException(404, f"There is no such {kind}.")
    return value


def number(
    request: Request, name: str, maximum: int = _MAX_NUMBER, *, minimum: int = 1
) -> int | None:
    """Return an integer of the query, None where it is missing; respond 400 to another value."""
    text = request.query_params.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and minimum <= int(text[:20]) <= maximum):
        raise HTTPException(400, f"{name} must be an integer from {minimum} to {maximum}.")
    return int(text)
