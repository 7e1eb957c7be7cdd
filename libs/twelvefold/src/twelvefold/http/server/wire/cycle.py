"""One request and its response on a connection: uvicorn's cycle, extended to HTTP/1.0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_EVENT_STREAM = b"text/event-stream"


class ResponseCycle(RequestResponseCycle):
    """uvicorn's cycle. `on_event_stream` is called when a response is a stream of events.

    HTTP/1.0 has no chunks, so a response of unknown length ends with its connection (RFC 9112
    sections 6.1 and 6.3).
    """

    def __init__(
        self, *, head_bytes: int, on_event_stream: Callable[[], None], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.head_bytes = head_bytes
        self.is_event_stream = False
        self._on_event_stream = on_event_stream
        self._until_close = False

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            headers = dict(message.get("headers", ()))
            if headers.get(b"content-type", b"").startswith(_EVENT_STREAM):
                self.is_event_stream = True
            if self.scope["http_version"] == "1.0" and b"content-length" not in headers:
                self._until_close = True
                self.chunked_encoding = False
        elif self._until_close:
            # uvicorn compares with the declared length, which is unknown here.
            self.expected_content_length = len(cast("dict[str, Any]", message).get("body", b""))
        await super().send(message)
        if self.is_event_stream and not self.response_complete:
            self._on_event_stream()

    def abandon(self) -> None:
        """Signal a disconnect to the app; its further messages are not sent."""
        self.disconnected = True
        self.waiting_for_100_continue = False
        self.message_event.set()
