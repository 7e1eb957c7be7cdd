"""Calls by browsers from pages of other origins (the Fetch standard, section 3.3).

Owns which origins, methods and headers are let through, what a preflight is answered, and the
headers that let a page read an answer. It stands outside everything that answers, since a page
that cannot read a 503 cannot see its Retry-After either. No credentials are allowed: tokens are
sent as a header, which a page adds knowingly.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response
from starlette.types import Scope

from twelvefold.context import ROUTING_HEADERS
from twelvefold.errors import BadRequest
from twelvefold.http.rest.problems import problem_response

from .tracing import PROPAGATION_HEADERS

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
# What the API reads, a test says; and what a page may always send, in any form (safelisted).
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
# What a page may read beyond the safelisted ones.
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
MAX_AGE = 600  # seconds that a browser keeps the answer to a preflight

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
    """Which origins may call; `*` is any."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def response_headers(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        """The headers of every answer to a request that names this Origin, or none."""
        if origin is None or not self._allows(origin):
            return [_VARY]
        allowed = _ANY if _ANY in self._origins else origin
        return [(b"access-control-allow-origin", allowed), _EXPOSE, _VARY]

    def preflight(self, scope: Scope) -> Response | None:
        """The answer where the request is a browser's question beforehand; None for any other."""
        if scope["method"] != "OPTIONS":
            return None
        headers = dict(scope["headers"])
        origin, method = headers.get(b"origin"), headers.get(_METHOD)
        if origin is None or method is None:
            return None
        fault = self._fault(
            origin,
            method.decode("latin-1"),
            headers.get(b"access-control-request-headers", b"").decode("latin-1"),
        )
        if fault is not None:
            return problem_response(BadRequest(fault), scope)
        return Response(status_code=204, headers=_PREFLIGHT)

    def _allows(self, origin: bytes) -> bool:
        return origin in self._origins or _ANY in self._origins

    def _fault(self, origin: bytes, method: str, headers: str) -> str | None:
        if not self._allows(origin):
            return "This origin may not call from a browser (HTTP_CORS_ORIGINS)."
        if method not in METHODS:
            return "This method may not be used from another origin."
        asked = {name.strip().lower() for name in headers.split(",")} - {""}
        if asked - _ALLOWED:
            return (
                f"From another origin only these headers may be sent: {', '.join(REQUEST_HEADERS)}."
            )
        return None
