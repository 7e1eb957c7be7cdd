"""Bounds on what a client may send: bytes of the body, counted while they stream.

Nothing is buffered: a body over its limit is refused by Content-Length before a byte is read,
or at the chunk that crosses the limit, and the connection is closed instead of read to the end.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twelvefold import metrics
from twelvefold.errors import BadRequest, PayloadTooLarge

from .problems import problem_response

_CLOSE = {"Connection": "close"}


class BodyTooLarge(PayloadTooLarge, HTTPException):
    """Raised from `receive`. An HTTPException too, since FastAPI lets only those through."""

    def __init__(self, limit: int) -> None:
        PayloadTooLarge.__init__(
            self, f"The body may have at most {limit} bytes.", headers=dict(_CLOSE)
        )
        self.status_code = self.status


class BodyLimit:
    """ASGI middleware. `by_prefix` gives paths their own limit; the longest prefix counts."""

    def __init__(self, app: ASGIApp, default: int, by_prefix: Mapping[str, int] | None = None):
        self.app = app
        self._default = default
        self._by_prefix = sorted((by_prefix or {}).items(), key=lambda item: -len(item[0]))

    def limit(self, path: str) -> int:
        """The most bytes that a body to `path` may have."""
        for prefix, limit in self._by_prefix:
            if path.startswith(prefix):
                return limit
        return self._default

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length: bytes | None = None
        has_body = False
        if scope["type"] == "http":
            for name, value in scope["headers"]:
                if name == b"content-length":
                    length, has_body = value, True
                elif name == b"transfer-encoding":
                    has_body = True
        if not has_body:
            await self.app(scope, receive, send)
            return
        limit = self.limit(scope["path"])
        if length is not None:
            try:
                declared = int(length)
            except ValueError:
                refusal = BadRequest("Content-Length is not a number.", headers=dict(_CLOSE))
                await problem_response(refusal, scope)(scope, receive, send)
                return
            if declared > limit:
                metrics.http_requests_refused.labels("body").inc()
                await problem_response(BodyTooLarge(limit), scope)(scope, receive, send)
                return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                metrics.http_requests_refused.labels("body").inc()
                raise BodyTooLarge(limit)
            return message

        await self.app(scope, counted, send)
