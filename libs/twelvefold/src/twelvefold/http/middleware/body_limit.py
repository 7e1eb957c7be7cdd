"""Bounds on what a client may send: the body's bytes, counted while they stream, NUL, and depth.

A body that says to be compressed is refused: decoded, it could be of any size.
Nothing is buffered: a body over its limit is refused by Content-Length before a byte is read,
or at the chunk that crosses the limit, and the connection is closed instead of read to the end.
NUL is refused here, once, because PostgreSQL stores it in no text and would fail late.
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

# After a refusal we go on reading for a moment and throw away what comes: closing a socket that
# holds unread bytes resets the connection, and a client that reads only after it has sent
# everything would never see its 413.
LINGER_SECONDS = 2.0
LINGER_BYTES = 64 * 1_048_576
_CLOSE = {"Connection": "close"}
# How a NUL is written in JSON: only where the backslash is not itself escaped. With what is far
# cheaper to look for first. Forms are OAuth's, whose errors have a form of their own: who reads
# one looks for NUL.
_NULS = {
    b"json": (b"u0000", re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")),
}
_BODY_HEADERS = frozenset(
    {b"content-length", b"transfer-encoding", b"content-type", b"content-encoding"}
)
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_NO_ENCODING = frozenset({b"", b"identity"})
_KEPT = 5  # bytes of a chunk that may be the beginning of one


class BodyLimit:
    """ASGI middleware. `by_prefix` gives paths their own limit; the longest prefix counts."""

    def __init__(
        self, app: ASGIApp, default: int, by_prefix: Mapping[str, int] | None = None
    ) -> None:
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
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            refusal = BadRequest("The URL holds a NUL character.")
            await problem_response(refusal, scope)(scope, receive, send)
            return
        found = {name: value for name, value in scope["headers"] if name in _BODY_HEADERS}
        if found.keys().isdisjoint(_FRAMING):
            await self.app(scope, receive, send)  # no body, as for most requests
            return
        limit = self.limit(scope["path"])
        length = found.get(b"content-length", b"")
        if length.isdigit() and int(length) > limit:
            await _refuse(_too_large(limit), scope, receive, send)
            return
        if b"content-encoding" in found and _is_encoded(scope["headers"]):
            await _refuse(_encoded(), scope, receive, send)
            return
        body = _Body(receive, limit, found.get(b"content-type", b"").lower())
        try:
            await self.app(scope, body.receive, send)
        except RequestRefused as refused:
            await _refuse(refused.error, scope, receive, send)


class _Body:
    """The body as the app reads it: counted, and looked through for NUL where it is text."""

    def __init__(self, receive: Receive, limit: int, content_type: bytes) -> None:
        self._receive = receive
        self._limit = limit
        self._nul = next((nul for kind, nul in _NULS.items() if kind in content_type), None)
        self._read = 0
        self._kept = b""
        self._depth = JsonDepthLimit() if b"json" in content_type else None

    async def receive(self) -> Message:
        """Raises RequestRefused at the chunk that crosses the limit, holds a NUL, or nests deeper."""
        message = await self._receive()
        chunk: bytes = message.get("body", b"")
        self._read += len(chunk)
        if self._read > self._limit:
            raise RequestRefused(_too_large(self._limit))
        if self._nul is not None and chunk:
            text = self._kept + chunk
            hint, nul = self._nul
            if hint in text and nul.search(text):
                fault = FieldError("/body", "holds a NUL character")
                raise RequestRefused(
                    UnprocessableContent("NUL characters are not allowed.", errors=[fault])
                )
            self._kept = text[-_KEPT:]
        if self._depth is not None:
            if b"\0" in chunk:
                # Else Python's parser would take UTF-16 and UTF-32, in which nothing here is found.
                raise RequestRefused(BadRequest("JSON is UTF-8 (RFC 8259 section 8.1)."))
            whole = self._read == len(chunk) and not message.get("more_body", False)
            if self._depth.crossed_by(chunk, whole=whole):
                raise RequestRefused(BadRequest(f"JSON may be nested {MAX_DEPTH} levels deep."))
        return message


def _is_encoded(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(
        name == b"content-encoding" and value.strip().lower() not in _NO_ENCODING
        for name, value in headers
    )


def _encoded() -> UnsupportedMedia:
    """RFC 9110 section 15.5.16 and RFC 7694 section 3 say how a client learns what to do."""
    return UnsupportedMedia(
        "Send the body without Content-Encoding.", headers={"Accept-Encoding": "identity", **_CLOSE}
    )


def _too_large(limit: int) -> PayloadTooLarge:
    metrics.http_requests_refused.labels("body").inc()
    return PayloadTooLarge(f"The body may have at most {limit} bytes.", headers=dict(_CLOSE))


async def _refuse(error: TwelvefoldError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at once; with `Connection: close` it then lets the client find the answer."""
    closing = "Connection" in error.headers

    async def sending(message: Message) -> None:
        # The body is whole by its length; only the end of the exchange waits.
        held = closing and message["type"] == "http.response.body"
        await send({**message, "more_body": True} if held else message)

    await problem_response(error, scope)(scope, receive, sending)
    if closing:
        await _linger(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _linger(receive: Receive) -> None:
    left = LINGER_BYTES
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        return
