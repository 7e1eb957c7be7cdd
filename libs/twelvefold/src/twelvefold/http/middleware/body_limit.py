"""Bounds on a request body: its size, its depth and NUL characters, checked while it streams.

A compressed body is refused, since it could be of any size once decoded. No body is buffered: one
over its limit is refused by Content-Length before a byte is read, or at the chunk that exceeds the
limit, and the connection is closed instead of read to the end. NUL is refused here, because
PostgreSQL text cannot store it and would fail late.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twelvefold.errors import (
    BadRequest,
    FieldError,
    PayloadTooLarge,
    TwelvefoldError,
    UnprocessableContent,
    UnsupportedMedia,
)
from twelvefold.http.rest.problems import RequestRefused, problem_response
from twelvefold.observability import metrics

from .json_depth import MAX_DEPTH, JsonDepthLimit

# After a refusal the server reads on for a moment and discards the bytes: closing a socket with
# unread bytes resets the connection, and a client that reads only after it has sent the whole body
# would never see its 413.
LINGER_SECONDS = 2.0
LINGER_BYTES = 64 * 1_048_576
_CLOSE = {"Connection": "close"}
# An escaped NUL in JSON, whose backslash is not itself escaped; and bytes that are cheaper to
# search for first. OAuth's forms are not checked here, since their errors have another form.
_JSON_NUL_HINT = b"u0000"
_JSON_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_BODY_HEADERS = frozenset(
    {b"content-length", b"transfer-encoding", b"content-type", b"content-encoding"}
)
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_NO_ENCODING = frozenset({b"", b"identity"})
_NUL_OVERLAP = 5  # bytes at the end of a chunk that may begin an escaped NUL


class BodyLimit:
    """ASGI middleware. `by_prefix` has limits in bytes by path; the longest prefix applies."""

    def __init__(
        self, app: ASGIApp, default: int, by_prefix: Mapping[str, int] | None = None
    ) -> None:
        self.app = app
        self._default = default
        self._by_prefix = sorted((by_prefix or {}).items(), key=lambda item: -len(item[0]))

    def limit(self, path: str) -> int:
        """Return the maximum size in bytes of a body to `path`."""
        for prefix, limit in self._by_prefix:
            if path.startswith(prefix):
                return limit
        return self._default

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            error = BadRequest("The URL contains a NUL character.")
            await problem_response(error, scope)(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"] if name in _BODY_HEADERS}
        if headers.keys().isdisjoint(_FRAMING):
            await self.app(scope, receive, send)  # no body, as for most requests
            return
        limit = self.limit(scope["path"])
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > limit:
            await _refuse(_too_large(limit), scope, receive, send)
            return
        if b"content-encoding" in headers and _is_encoded(scope["headers"]):
            await _refuse(_unsupported_encoding(), scope, receive, send)
            return
        body = _Body(receive, limit, headers.get(b"content-type", b"").lower())
        try:
            await self.app(scope, body.receive, send)
        except RequestRefused as refused:
            await _refuse(refused.error, scope, receive, send)


class _Body:
    """The body as the app reads it: its bytes are counted, and JSON is searched for NUL."""

    def __init__(self, receive: Receive, limit: int, content_type: bytes) -> None:
        self._receive = receive
        self._limit = limit
        self._read = 0
        self._overlap = b""
        self._depth = JsonDepthLimit() if b"json" in content_type else None

    async def receive(self) -> Message:
        """Raises RequestRefused at the chunk that exceeds the limit or the depth, or has a NUL."""
        message = await self._receive()
        chunk: bytes = message.get("body", b"")
        self._read += len(chunk)
        if self._read > self._limit:
            raise RequestRefused(_too_large(self._limit))
        if self._depth is not None:
            whole = self._read == len(chunk) and not message.get("more_body", False)
            self._check_json(chunk, self._depth, whole=whole)
        return message

    def _check_json(self, chunk: bytes, depth: JsonDepthLimit, *, whole: bool) -> None:
        text = self._overlap + chunk
        if _JSON_NUL_HINT in text and _JSON_NUL.search(text):
            fault = FieldError("/body", "contains a NUL character")
            raise RequestRefused(
                UnprocessableContent("NUL characters are not allowed.", errors=[fault])
            )
        self._overlap = text[-_NUL_OVERLAP:]
        if b"\0" in chunk:
            # Python's parser would accept UTF-16 and UTF-32, in which these checks find nothing.
            raise RequestRefused(BadRequest("JSON must be UTF-8 (RFC 8259 section 8.1)."))
        if depth.is_exceeded_by(chunk, whole=whole):
            raise RequestRefused(BadRequest(f"JSON may nest at most {MAX_DEPTH} levels."))


def _is_encoded(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(
        name == b"content-encoding" and value.strip().lower() not in _NO_ENCODING
        for name, value in headers
    )


def _unsupported_encoding() -> UnsupportedMedia:
    """Return the error with the header of RFC 9110 section 15.5.16 and RFC 7694 section 3."""
    return UnsupportedMedia(
        "Send the body without Content-Encoding.", headers={"Accept-Encoding": "identity", **_CLOSE}
    )


def _too_large(limit: int) -> PayloadTooLarge:
    metrics.http_requests_refused.labels("body").inc()
    return PayloadTooLarge(f"The body may have at most {limit} bytes.", headers=dict(_CLOSE))


async def _refuse(error: TwelvefoldError, scope: Scope, receive: Receive, send: Send) -> None:
    """Respond at once; with `Connection: close`, linger so that the client reads the response."""
    closing = "Connection" in error.headers

    async def send_unfinished(message: Message) -> None:
        # The body is complete by its length; only the end of the exchange is delayed.
        delayed = closing and message["type"] == "http.response.body"
        await send({**message, "more_body": True} if delayed else message)

    await problem_response(error, scope)(scope, receive, send_unfinished)
    if closing:
        await _linger(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _linger(receive: Receive) -> None:
    remaining = LINGER_BYTES
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while remaining > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                remaining -= len(message.get("body", b""))
    except TimeoutError:
        return
