"""Cross-origin requests of browsers (CORS; the Fetch standard, section 3.3).

Owns the allowed origins, methods and headers, the responses to preflights, and the headers that let
a page read a response. They are added to each response, also to a 503, so that a page can read its
Retry-After. Credentials are not allowed, since tokens are sent in a header.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response
from starlette.types import Scope

from twelvefold.context import PROPAGATION_HEADERS, ROUTING_HEADERS
from twelvefold.errors import BadRequest
from twelvefold.http.rest.problems import problem_response

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
# The headers that the API reads (a test compares them), and the safelisted ones.
REQUEST_HEADERS = (
    "Accept",
    "Accept-Language",
    "Authorization",
    "Content-Language",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "X-Request-ID",
    *ROUTING_HEADERS,
    *PROPAGATION_HEADERS,
)
# The headers that a page may read beyond the safelisted ones.
RESPONSE_HEADERS = (
    "Allow",
    "Deprecation",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Sunset",
    "WWW-Authenticate",
    "X-Request-ID",
)
MAX_AGE = 600  # seconds for which a browser caches the response to a preflight

_ANY = b"*"
_VARY = (b"vary", b"Origin")
_EXPOSE = (b"access-control-expose-headers", ", ".join(RESPONSE_HEADERS).encode())
_METHOD = b"access-control-request-method"
_ALLOWED = frozenset(name.lower() for name in REQUEST_HEADERS)
_PREFLIGHT = {
    "Access-Control-Allow-Methods": ", ".join(METHODS),
    "Access-Control-Allow-Headers": ", ".join(REQUEST_HEADERS),
    "Access-Control-Max-Age": str(MAX_AGE),
    "Vary": "Access-Control-Request-Method, Access-Control-Request-Headers",
}


class CorsPolicy:
    """The origins from which browsers may call; `*` means any."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def response_headers(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        """Return the headers of the response to a request with this Origin, or without one."""
        if origin is None or not self._allows(origin):
            return [_VARY]
        allowed = _ANY if _ANY in self._origins else origin
        return [(b"access-control-allow-origin", allowed), _EXPOSE, _VARY]

    def preflight(self, scope: Scope) -> Response | None:
        """Return the response to a preflight; None for any other request."""
        if scope["method"] != "OPTIONS":
            return None
        headers = dict(scope["headers"])
        origin, method = headers.get(b"origin"), headers.get(_METHOD)
        if origin is None or method is None:
            return None
        fault = self._find_fault(
            origin,
            method.decode("latin-1"),
            headers.get(b"access-control-request-headers", b"").decode("latin-1"),
        )
        if fault is not None:
            return problem_response(BadRequest(fault), scope)
        return Response(status_code=204, headers=_PREFLIGHT)

    def _allows(self, origin: bytes) -> bool:
        return origin in self._origins or _ANY in self._origins

    def _find_fault(self, origin: bytes, method: str, headers: str) -> str | None:
        if not self._allows(origin):
            return "This origin is not allowed (HTTP_CORS_ORIGINS)."
        if method not in METHODS:
            return "This method is not allowed from another origin."
        names = {name.strip().lower() for name in headers.split(",")} - {""}
        if names - _ALLOWED:
            return f"Headers allowed from another origin: {', '.join(REQUEST_HEADERS)}."
        return None
