"""ASGI middleware that sends whole requests to the console while it records.

The console listens on a Unix socket of this user only while it records, so the existence of the
socket is the switch. Without it a request costs one look at the file system.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 262_144  # of a request that is recorded whole
MAX_RECORD_BYTES = 524_288  # of one recording on the socket
_MAX_PENDING = 32  # recordings on their way; further ones are dropped
_TIMEOUT = 2.0  # seconds to deliver one
# Of the connection, of the caller's identity, or different in every request.
_OMITTED = frozenset(
    b"authorization cookie host connection content-length transfer-encoding keep-alive te trailer "
    b"upgrade expect forwarded x-forwarded-for x-forwarded-proto x-forwarded-host x-request-id "
    b"traceparent tracestate baggage b3 x-b3-traceid x-b3-spanid x-b3-parentspanid x-b3-sampled "
    b"x-b3-flags".split()
)


class Recorder:
    """ASGI middleware around the public app of `service`."""

    def __init__(self, app: ASGIApp, service: str, socket: str) -> None:
        self._app = app
        self._service = service
        self._socket = Path(socket)
        self._deliveries: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._socket.exists():
            await self._app(scope, receive, send)
            return
        body = _Body(scope["headers"])
        response: dict[str, Any] = {}

        async def observed_receive() -> Message:
            message = await receive()
            body.add(message)
            return message

        async def observed_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                response.update(status=message["status"], headers=dict(message["headers"]))
            await send(message)

        try:
            await self._app(scope, observed_receive, observed_send)
        finally:
            if response and len(self._deliveries) < _MAX_PENDING:
                self._deliver(_describe(self._service, scope, body, response))

    def _deliver(self, recording: dict[str, Any]) -> None:
        task = asyncio.create_task(self._write(json.dumps(recording).encode() + b"\n"))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def _write(self, line: bytes) -> None:
        if len(line) > MAX_RECORD_BYTES:
            return
        with suppress(OSError, TimeoutError):  # the console has stopped to record
            async with asyncio.timeout(_TIMEOUT):
                _, writer = await asyncio.open_unix_connection(self._socket)
                try:
                    writer.write(line)
                    await writer.drain()
                finally:
                    writer.close()


class _Body:
    """The body of a request as the app reads it."""

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        names = dict(headers)
        self.content = bytearray()
        # A request without a body is whole although the app never reads one.
        self.is_whole = names.get(b"content-length", b"0") == b"0" and (
            b"transfer-encoding" not in names
        )
        self._is_too_large = False

    def add(self, message: Message) -> None:
        if message["type"] != "http.request" or self._is_too_large:
            return
        self.content += message.get("body", b"")
        self._is_too_large = len(self.content) > MAX_BODY_BYTES
        if self._is_too_large:
            self.content.clear()
        self.is_whole = not self._is_too_large and not message.get("more_body", False)


def _describe(service: str, scope: Scope, body: _Body, response: dict[str, Any]) -> dict[str, Any]:
    """Return the recording as a JSON object. A body that is not whole is left out."""
    query = scope.get("query_string", b"")
    path = scope.get("raw_path") or scope["path"].encode()
    target = path.partition(b"?")[0] + (b"?" + query if query else b"")
    headers = [
        [name.decode("latin-1"), value.decode("latin-1")]
        for name, value in scope["headers"]
        if name.lower() not in _OMITTED
    ]
    return {
        "request_id": response["headers"].get(b"x-request-id", b"").decode("latin-1"),
        "service": service,
        "method": scope["method"],
        "target": target.decode("latin-1"),
        "headers": headers,
        "authorized": any(name.lower() == b"authorization" for name, _ in scope["headers"]),
        "status": response["status"],
        "body": base64.b64encode(body.content).decode() if body.is_whole else None,
    }
