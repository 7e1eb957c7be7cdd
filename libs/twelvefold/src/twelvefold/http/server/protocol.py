"""HTTP/1.1 at the socket: uvicorn's httptools protocol with the bounds that it lacks.

Owns the time limits of a request's head, the minimum rates of its body and of its response, the
responses to malformed requests, how a connection ends, and how long it has been idle, which decides
when a drain may close it. `wire` owns framing and parsing; the request middleware owns the size of
a body and the duration of a request.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from twelvefold.http.middleware.body_limit import LINGER_BYTES, LINGER_SECONDS
from twelvefold.http.middleware.cors import CorsPolicy
from twelvefold.http.server.wire.cycle import ResponseCycle
from twelvefold.http.server.wire.flow import ReaderWatch, ReadGate, bound_send_buffer
from twelvefold.http.server.wire.parsing import ParsingProtocol
from twelvefold.http.server.wire.refusal import ProtocolError
from twelvefold.observability import metrics

HEAD_SECONDS = 10.0  # for a whole head, from its first byte or from the accept
# At least BODY_BYTES of a body must arrive in each BODY_SECONDS in which the server reads. A slow
# network is far above that; a client that sends a byte per second is below.
BODY_SECONDS = 10.0
BODY_BYTES = 1024
_SIZE_STATUSES = frozenset({414, 431})


class BoundedProtocol(ParsingProtocol):
    """One connection. Times are those of the event loop, in seconds."""

    max_connections = 2000  # per listener
    cors: CorsPolicy | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.idle_since = 0.0
        self._discarded = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_bytes = 0
        self._body_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn's own
        super().connection_made(transport)
        self.flow = self._gate = ReadGate(transport)
        self._reader = ReaderWatch(transport)
        bound_send_buffer(transport)
        self.idle_since = self.loop.time()
        if len(self.connections) > self.max_connections:
            metrics.http_requests_refused.labels("connections").inc()
            error = "There are too many connections."
            self._refuse(ProtocolError(503, error, "retry-after: 1\r\n"))
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        self._body_arrived()
        self._unparsed = b""
        self.pipeline.clear()
        if self._serving is not None:
            self._serving.abandon()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's closes at once
        """Serve the requests of a client that has closed its side (RFC 9112 section 9.6)."""
        self._half_closed = True
        if self._refused or self.transport.is_closing():
            return False
        if self._in_body and self.busy:
            self._abandon(ProtocolError(400, "The body of the request is incomplete."))
        elif self.busy:
            if self._serving is not None and self._serving.is_event_stream:
                return False
            self.cycle.keep_alive = False
            self._hold_reading()
        elif self._head.is_partial:
            self._refuse(ProtocolError(400, "The head of the request is incomplete."))
        else:
            return False
        return True

    def data_received(self, data: bytes) -> None:
        if self._refused or self._is_last:
            self._discard(len(data))
            return
        self._unset_keepalive_if_required()
        self._unparsed = self._unparsed[self._at :] + data if self._unparsed else data
        self._at = 0
        if self._in_body:
            self._body_bytes += len(data)
        self._parse()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if not self._in_body:
            self._body_arrived()

    def on_response_complete(self) -> None:
        self.idle_since = self.loop.time()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self.pipeline:
            self._request_turn()
        elif self._fault is not None:
            self._refuse(self._fault)
        elif self._half_closed:
            self.transport.close()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
            if self._in_body:
                # A response before the end of the body (401 to an upload): the client may finish.
                self.loop.call_later(LINGER_SECONDS, self._on_body_late, self.cycle)
            elif self._head.is_partial:
                self._expect_head()

    def _on_event_stream(self) -> None:
        """Close the stream of a client that has closed its side: most likely it has left."""
        if self._half_closed:
            self.transport.close()

    def check_reader(self, now: float) -> None:
        """Cut the connection if its client has stopped reading. Call it about once a second."""
        if self._reader.is_stuck(now):
            metrics.http_requests_refused.labels("unread").inc()
            self.transport.abort()

    def _on_fault(self, error: ProtocolError) -> None:
        if error.status in _SIZE_STATUSES:
            metrics.http_requests_refused.labels("head").inc()
        if not self._in_body and self.busy:
            self._fault = error
        elif not self._in_body:
            self._refuse(error)
        elif self.busy:
            self._abandon(error)
        else:
            self.transport.close()

    def _abandon(self, error: ProtocolError) -> None:
        """End a request with an invalid body; send `error` unless the response has begun."""
        cycle = cast("ResponseCycle", self.cycle)
        cycle.abandon()
        if cycle.response_started:
            self.transport.close()
        else:
            self._refuse(error)

    def _on_progress(self) -> None:
        if not self._reads():
            return
        if self._in_body:
            if self._body_timer is None and not self.pipeline:
                self._expect_body()
            if self._head_timer is not None:
                self._head_arrived()
        elif not self.busy:
            self._expect_head()
        elif self._head_timer is not None:
            self._head_arrived()

    def _expect_body(self) -> None:
        self._body_bytes = 0
        self._body_timer = self.loop.call_later(BODY_SECONDS, self._on_body_due)

    def _body_arrived(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _on_body_due(self) -> None:
        self._body_timer = None
        if not self._reads():
            return
        if self._body_bytes >= BODY_BYTES or self._gate.read_paused or self._gate.held:
            self._expect_body()
        else:
            self._abandon(ProtocolError(408, "The body of the request came too slowly."))

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

    def _on_head_late(self) -> None:
        self._head_timer = None
        if self.busy or self.transport.is_closing():
            return
        if self._head.is_partial:
            self._refuse(ProtocolError(408, "The head of the request took too long."))
        else:
            self.transport.close()

    def _refuse(self, error: ProtocolError) -> None:
        """Send an error without a request of an app, and close the connection."""
        error.headers += self._cors_lines()
        self._refused = True
        self._head_arrived()
        self._body_arrived()
        self._unset_keepalive_if_required()
        self.transport.write(error.response())
        if self._half_closed:
            self.transport.close()
            return
        # Closing a socket with unread bytes resets the connection, and the client may lose the
        # response. So the server closes its side only and reads for a moment longer.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._gate.hold_reading(False)
        self._gate.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _cors_lines(self) -> str:
        """Return the CORS headers of the error, as far as the head of the request was read."""
        if self.cors is None:
            return ""
        origin = dict(self.headers or ()).get(b"origin")
        lines = self.cors.response_headers(origin)
        return "".join(f"{name.decode()}: {value.decode('latin-1')}\r\n" for name, value in lines)

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > LINGER_BYTES:
            self.transport.close()
