"""HTTP/1.1 at the socket: uvicorn's httptools protocol with the bounds that it lacks.

Owns how long and how large the head of a request may be, how slowly its body may come, the answers
to what is no HTTP, and how long a connection has been quiet, which decides when a drain may close
it. How large a body may be, and how long a request may take, is the request layer's.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import httptools
from uuid_utils import uuid7
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from twelvefold import metrics

from .limits import LINGER_BYTES, LINGER_SECONDS
from .problems import MEDIA_TYPE, named, type_uri

HEAD_SECONDS = 10.0  # for a whole head, from its first byte or from the accept; not per byte
HEAD_BYTES = 65_536
# Of a body at least so much has to come in each such period, the time that we do not read left
# out: a slow network is far above it, a client that sends a byte a second to hold us is below.
BODY_SECONDS = 10.0
BODY_BYTES = 1024
_STATUS_LINES = {
    400: b"HTTP/1.1 400 Bad Request\r\n",
    408: b"HTTP/1.1 408 Request Timeout\r\n",
    431: b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
    503: b"HTTP/1.1 503 Service Unavailable\r\n",
}


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Times are those of the event loop, in seconds."""

    max_connections = 2000  # of one listener

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.quiet_since = 0.0
        self._refused = False
        self._discarded = 0
        self._in_body = False
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_bytes = 0
        self._body_timer: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Whether a request is being served."""
        # No cycle until the first request, whatever the annotation says.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn's own
        super().connection_made(transport)
        self.quiet_since = self.loop.time()
        if len(self.connections) > self.max_connections:
            metrics.http_requests_refused.labels("connections").inc()
            self._refuse(503, "There are too many connections.", "retry-after: 1\r\n")
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        self._body_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._discard(len(data))
            return
        self._unset_keepalive_if_required()
        continued = self._in_body
        self._feed(data)
        if self._in_body:
            self._body_bytes += len(data)
            if self._body_timer is None:
                self._expect_body()
        if self.busy:
            if self._head_timer is not None:
                self._head_arrived()
        elif not self._in_body:
            self._without_a_head(0 if continued else len(data))

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self.parser.get_method() == b"CONNECT":
                    self._refuse(400, "There is no tunnel here.")
                    return
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                # As uvicorn has it: bytes after `Connection: close` are no error.
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            except httptools.HttpParserError:
                self._refuse(400, "This is not HTTP/1.1.")
                return
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        """The head just read, without its offer of another protocol, for reading it again.

        An offer may be ignored (RFC 9110 section 7.8), but the parser takes what follows for the
        other protocol and the body would be lost: Java's client offers h2c with its first request.
        """
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/1.1\r\n"]
        for name, value in self.headers:
            if name not in (b"upgrade", b"http2-settings"):
                head += [name, b": ", value, b"\r\n"]
        head.append(b"\r\n")
        return b"".join(head)

    def _without_a_head(self, count: int) -> None:
        """What came were line breaks, a part of a head, a byte of it; or it was answered already."""
        if self._refused or self.transport.is_closing():
            return
        self._expect_head()
        self._head_bytes += count
        if self._head_bytes > HEAD_BYTES:
            self._refuse(431, "The head of the request is too large.")

    def on_headers_complete(self) -> None:
        if not self.parser.should_upgrade():
            self._in_body = True
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        if self._body_timer is not None:
            self._body_arrived()
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self.quiet_since = self.loop.time()
        super().on_response_complete()
        if self._in_body:
            # Answered before its body was read (a 401 to an upload): that may go on for a moment.
            self.loop.call_later(LINGER_SECONDS, self._on_body_late, self.cycle)

    def _expect_body(self) -> None:
        self._body_bytes = 0
        self._body_timer = self.loop.call_later(BODY_SECONDS, self._on_body_due)

    def _body_arrived(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _on_body_due(self) -> None:
        self._body_timer = None
        if self._refused or self.transport.is_closing():
            return
        if self._body_bytes >= BODY_BYTES or self.flow.read_paused:
            self._expect_body()
            return
        # The app is told that the client has gone: whatever it still says is not sent.
        cycle = self.cycle
        answering = cycle.response_started or self.pipeline
        cycle.disconnected = True
        cycle.message_event.set()
        if answering:
            self.transport.close()
        else:
            self._refuse(408, "The body of the request came too slowly.")

    def _on_body_late(self, answered: RequestResponseCycle) -> None:
        if self._in_body and self.cycle is answered:
            self.transport.close()

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._on_head_late)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._head_bytes = 0

    def _on_head_late(self) -> None:
        self._head_timer = None
        if self.busy or self.transport.is_closing():
            return
        if self._head_bytes:
            self._refuse(408, "The head of the request took too long.")
        else:
            self.transport.close()

    def _refuse(self, status: int, detail: str, headers: str = "") -> None:
        """Answers outside any app and closes; there is no request to speak of."""
        code, title = named(status)
        request_id = uuid7().hex
        problem = {
            "type": type_uri(code),
            "title": title,
            "status": status,
            "detail": detail,
            "instance": "",
            "request_id": request_id,
        }
        body = json.dumps(problem).encode()
        head = (
            f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
            f"cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
            f"x-request-id: {request_id}\r\n{headers}connection: close\r\n\r\n"
        )
        self._refused = True
        self._head_arrived()
        self.transport.write(_STATUS_LINES[status] + head.encode() + body)
        # Closing a socket that holds unread bytes resets the connection, and the client may lose
        # the answer: we say that ours was the last word and listen for a moment longer.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > LINGER_BYTES:
            self.transport.close()
