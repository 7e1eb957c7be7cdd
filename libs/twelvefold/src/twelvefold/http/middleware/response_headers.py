"""The headers that each response of a service app has: security, caching, CORS and request id.

Owns those headers. A route sets its own, of which Cache-Control replaces the default here.
"""

from __future__ import annotations

from collections.abc import Iterable

from twelvefold.context import RequestContext
from twelvefold.service.health import Health

from .cors import CorsPolicy

_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_HSTS = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")
_NO_STORE = (b"cache-control", b"no-store")
_REVALIDATE = (b"cache-control", b"private, no-cache")
_CLOSE = (b"connection", b"close")
Headers = Iterable[tuple[bytes, bytes]]


class ResponseHeaders:
    """The common headers of an app. `deployed` adds HSTS; draining closes connections."""

    def __init__(self, health: Health, cors: CorsPolicy | None, *, deployed: bool) -> None:
        self._health = health
        self._cors = cors
        self._security = (*_SECURITY, _HSTS) if deployed else _SECURITY

    def complete(self, headers: Headers, request: RequestContext) -> list[tuple[bytes, bytes]]:
        """Return `headers` of a response to `request`, completed by the common ones."""
        completed = [*headers, *request.response_headers]
        if self._cors is not None:
            completed += self._cors.response_headers(request.incoming.get(b"origin"))
        caching: tuple[bytes, bytes] | None = _NO_STORE
        for name, _ in completed:
            if name == b"cache-control":
                caching = None
                break
            if name == b"etag":
                caching = _REVALIDATE
        completed += self._security
        completed.append((b"x-request-id", request.request_id.encode("latin-1")))
        if self._health.draining:
            completed.append(_CLOSE)
        if caching is not None:
            completed.append(caching)
        return completed
