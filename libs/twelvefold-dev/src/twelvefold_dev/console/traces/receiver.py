"""Receiver of spans by OTLP over HTTP (protobuf, optionally gzip), a few messages at a time.

Owns admission. A service must not wait long for the console: beyond the limit of messages in
flight the receiver returns 503 with Retry-After, and the bounded exporter drops what it cannot
queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from twelvefold_dev.console.problem import problem

from .otlp import MAX_BODY, Batch, IngestError, decompress, read
from .store import TraceStore

_PROTOBUF = "application/x-protobuf"
_BUSY = 503
_MAX_IN_FLIGHT = 6  # messages, including the one that is being stored
_BODY_TIMEOUT = 10.0  # seconds to receive one message


@dataclass(slots=True)
class Received:
    """Counts since the start of the process."""

    spans: int = 0
    rejected: int = 0  # spans
    refused: int = 0  # messages


class TraceReceiver:
    """The ASGI endpoint of `/v1/traces`. Calls `on_stored` after storing a message."""

    def __init__(self, store: TraceStore, thread: Executor, on_stored: Callable[[], None]) -> None:
        self._store = store
        self._thread = thread
        self._on_stored = on_stored
        self._in_flight = 0
        self.received = Received()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            batch = await self._take(scope, receive)
        except IngestError as refusal:
            self.received.refused += 1
            response = problem(refusal.status, refusal.detail)
            if refusal.status == _BUSY:
                response.headers["Retry-After"] = "1"
        else:
            response = Response(batch.response_body(), media_type=_PROTOBUF)
        await response(scope, receive, send)

    async def _take(self, scope: Scope, receive: Receive) -> Batch:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        if scope["method"] != "POST":
            raise IngestError(405, "Send spans by POST.")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != _PROTOBUF:
            raise IngestError(415, f"The media type must be {_PROTOBUF}.")
        if self._in_flight >= _MAX_IN_FLIGHT:
            raise IngestError(_BUSY, "Too many messages are in progress. Try again.")
        self._in_flight += 1
        try:
            async with asyncio.timeout(_BODY_TIMEOUT):
                body = await _body(receive)
            encoding = headers.get("content-encoding", "").strip().lower()
            loop = asyncio.get_running_loop()
            batch = await loop.run_in_executor(self._thread, self._keep, body, encoding)
        except TimeoutError:
            raise IngestError(408, "The message did not arrive in time.") from None
        finally:
            self._in_flight -= 1
        self.received.spans += len(batch.spans)
        self.received.rejected += batch.rejected
        if batch.spans:
            self._on_stored()
        return batch

    def _keep(self, body: bytes, encoding: str) -> Batch:
        batch = read(decompress(body, encoding))
        self._store.add(batch.spans)
        return batch


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise IngestError(400, "The sender closed the connection.")
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise IngestError(413, f"The message exceeds {MAX_BODY} bytes.")
        if not message.get("more_body", False):
            return bytes(body)
