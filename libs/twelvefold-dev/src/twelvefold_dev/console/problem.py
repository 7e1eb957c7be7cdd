"""Problem responses of the console (RFC 9457)."""

from __future__ import annotations

import json
from http import HTTPStatus

from starlette.responses import Response


def problem(status: int, detail: str) -> Response:
    """Return an application/problem+json response."""
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    return Response(json.dumps(content), status, media_type="application/problem+json")
