"""A protocol that parses the bytes of a connection into requests and serves them in order.

Owns how much is parsed per turn of the event loop, how many requests are parsed ahead of the one
that is served, and when reading stops. Its subclass `http.server.protocol` ends connections.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from .cycle import ResponseCycle
from .flow import ReadGate
from .framing import HEAD_BYTES, BodyBoundary, HeadBoundary
from .pipeline import MAX_AHEAD, PipelineTurns
from .refusal import ProtocolError
from .request_head import MAX_FIELDS, parse_head

# Pieces passed to the parser, and pieces of bodies from it, in one turn of the event loop: a few
# milliseconds of work.
_MAX_STEPS = 2048
_UPGRADE = frozenset({b"upgrade", b"http2-settings"})


class ParsingProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a bound on parsing. The connections of a listener share `turns`."""

    turns: PipelineTurns
    _gate: ReadGate  # the same object as `flow`

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Bytes that are not parsed yet, from _at on; empty unless parsing has to wait.
        self._unparsed = b""
        self._at = 0
        self._steps = 0
        self._head = HeadBoundary()
        self._body = BodyBoundary(0)
        self._in_body = False
        self._may_begin = False
        self._head_parsed = False
        self._half_closed = False
        self._refused = False
        self._is_last = False  # the latest request ends the connection
        self._fault: ProtocolError | None = None  # sent after the responses before it
        self._serving: ResponseCycle | None = None
        self._turn_requested = False

    @property
    def busy(self) -> bool:
        """Whether a request is being served."""
        # None before the first request, although the annotation lacks it.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete

    def _on_fault(self, error: ProtocolError) -> None:
        """Handle an error that ends the parsing of this connection."""
        raise NotImplementedError

    def _on_progress(self) -> None:
        """Handle that bytes were parsed, or that they have to wait."""
        raise NotImplementedError

    def _on_event_stream(self) -> None:
        """Handle that a response is a stream of events."""
        raise NotImplementedError

    def _discard(self, count: int) -> None:
        """Handle `count` bytes that arrived and will not be parsed."""
        raise NotImplementedError

    def _parse(self) -> None:
        """Parse the bytes read, as far as the bounds allow at this moment."""
        while self._unparsed and not self._must_wait():
            self._steps += 1
            try:
                self._parse_piece()
            except ProtocolError as error:
                self._on_fault(error)
            if self._at >= len(self._unparsed):
                self._unparsed, self._at = b"", 0
            if self._refused or self._is_last or self.transport.is_closing():
                self._discard(len(self._unparsed) - self._at)
                self._unparsed, self._at = b"", 0
                break
        if self._steps >= _MAX_STEPS:
            self.loop.call_soon(self._on_next_turn)
        self._hold_reading()
        self._on_progress()

    def _must_wait(self) -> bool:
        if self._steps >= _MAX_STEPS or self._fault is not None:
            return True
        if not self.pipeline:
            return False
        ahead = sum(cast("ResponseCycle", cycle).head_bytes for cycle, _ in self.pipeline)
        return self._in_body or len(self.pipeline) >= MAX_AHEAD or ahead >= HEAD_BYTES

    def _hold_reading(self) -> None:
        if not self._refused:
            held = bool(self._unparsed) or self._half_closed or self._must_wait()
            self._gate.hold_reading(held)

    def _on_next_turn(self) -> None:
        self._steps = 0
        if self._reads():
            self._parse()

    def _reads(self) -> bool:
        return not (self._refused or self.transport.is_closing())

    def _parse_piece(self) -> None:
        if self._in_body:
            end = self._body.take(self._unparsed, self._at)
            whole = self._at == 0 and end == len(self._unparsed)
            piece = self._unparsed if whole else self._unparsed[self._at : end]
            self._at = end
            self._feed(piece)
            return
        if self._head.complete:
            self._head, self._head_parsed = HeadBoundary(), False
        began = self._head.began
        piece, self._at = self._head.take(self._unparsed, self._at)
        self._may_begin = self._head.began and not began
        if piece:
            self._feed(piece)
            if self._head.complete and not self._head_parsed:
                raise ProtocolError(400, "The request is not valid HTTP/1.1.")

    def _feed(self, piece: bytes) -> None:
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            version = self.parser.get_http_version()
            head = self._build_head_without_upgrade(version)
            self.parser = httptools.HttpRequestParser(self)
            # As in uvicorn: bytes after `Connection: close` are no error.
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self._may_begin = True
            self._feed(head)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, ProtocolError):
                raise error.__context__ from None
            raise ProtocolError(400, "The request is not valid HTTP/1.1.") from error

    def _build_head_without_upgrade(self, version: str) -> bytes:
        """Return the parsed head without its Upgrade header, to parse it again.

        A server may ignore the header (RFC 9110 section 7.8), but the parser treats the following
        bytes as the other protocol, so the body would be lost. Java's client sends it with h2c.
        """
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", version.encode(), b"\r\n"]
        for name, value in self.headers:
            if name not in _UPGRADE:
                head += [name, b": ", value, b"\r\n"]
        head.append(b"\r\n")
        return b"".join(head)

    def on_message_begin(self) -> None:
        if not self._may_begin:
            raise ProtocolError(400, "The request is not valid HTTP/1.1.")
        self._may_begin = False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_parsed:
            return  # a trailer, which must not act as a header (RFC 9110 section 6.5.1)
        if len(self.headers) >= MAX_FIELDS:
            raise ProtocolError(431, f"A request may have at most {MAX_FIELDS} header lines.")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._head_parsed = True
        version = self.parser.get_http_version()
        method = self.parser.get_method().decode("ascii")
        head = parse_head(method, version, self.url, self.headers)
        self._body = BodyBoundary(head.body_length)
        self._in_body = True
        self._unset_keepalive_if_required()
        scope = self.scope
        scope["method"], scope["http_version"] = method, version
        scope["path"], scope["raw_path"], scope["query_string"] = (
            head.path,
            head.raw_path,
            head.query,
        )
        waits = self.busy
        cycle = self.cycle = ResponseCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            # HTTP/1.0 has no interim responses (RFC 9110 section 10.1.1).
            expect_100_continue=self.expect_100_continue and version == "1.1",
            keep_alive=version == "1.1" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
            head_bytes=self._head.size,
            on_event_stream=self._on_event_stream,
        )
        if waits:
            self.pipeline.appendleft((cycle, self.app))
        else:
            self._serve(cycle, self.app)

    def _serve(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._serving = cast("ResponseCycle", cycle)
        self._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        self._steps += 1
        self._body.overhead = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._in_body = False
        super().on_message_complete()
        self._is_last = not self.cycle.keep_alive

    def _request_turn(self) -> None:
        """Queue the next pipelined request once the client has read enough of the last response."""
        if self.pipeline and not self._turn_requested and not self.flow.write_paused:
            self._turn_requested = True
            self.turns.request(self._on_turn)

    def _on_turn(self) -> None:
        self._turn_requested = False
        if self.pipeline and self._reads():
            self._serve(*self.pipeline.pop())
            self._parse()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._serving is not None and self._serving.response_complete:
            self._request_turn()
