"""Takes spans by OTLP over HTTP (protobuf, gzip or not), a few messages at a time.

Owns admission. A service must never wait for us for long: beyond what is in hand it is told to
come back later, and its exporter, which is bounded, drops what it cannot keep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from twelvefold_dev.console.problem import problem

from .otlp import MAX_BODY, Batch, IngestError, decompressed, read
from .store import TraceStore

_PROTOBUF = "application/x-protobuf"
_BUSY = 503
_IN_HAND = 6  # messages, the one that is being stored included
_BODY_TIMEOUT = 10.0  # seconds for one message to come in


@dataclass(slots=True)
class Received:
    """What came in since the start."""

    spans: int = 0
    rejected: int = 0
    refused: int = 0  # messages


class TraceReceiver:
    """ASGI endpoint of `/v1/traces`; `stored` is called when a message is in `store`."""

    def __init__(self, store: TraceStore, thread: Executor, stored: Callable[[], None]) -> None:
        self._store = store
        self._thread = thread
        self._stored = stored
        self._in_hand = 0
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
            response = Response(batch.answer(), media_type=_PROTOBUF)
        await response(scope, receive, send)

    async def _take(self, scope: Scope, receive: Receive) -> Batch:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        if scope["method"] != "POST":
            raise IngestError(405, "spans are sent by POST")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != _PROTOBUF:
            raise IngestError(415, f"only {_PROTOBUF} is understood")
        if self._in_hand >= _IN_HAND:
            raise IngestError(_BUSY, "too many messages at a time")
        self._in_hand += 1
        try:
            async with asyncio.timeout(_BODY_TIMEOUT):
                body = await _body(receive)
            encoding = headers.get("content-encoding", "").strip().lower()
            loop = asyncio.get_running_loop()
            batch = await loop.run_in_executor(self._thread, self._keep, body, encoding)
        except TimeoutError:
            raise IngestError(408, "the message did not come in in time") from None
        finally:
            self._in_hand -= 1
        self.received.spans += len(batch.spans)
        self.received.rejected += batch.rejected
        if batch.spans:
            self._stored()
        return batch

    def _keep(self, body: bytes, encoding: str) -> Batch:
        batch = read(decompressed(body, encoding))
        self._store.add(batch.spans)
        return batch


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise IngestError(400, "the sender has gone")
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise IngestError(413, f"more than {MAX_BODY} bytes")
        if not message.get("more_body", False):
            return bytes(body)
