"""One request and its response: time limit, completed headers, metrics, span and log line.

Owns what is recorded about a request. `requests` decides how it is served.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from twelvefold.context import RequestContext
from twelvefold.errors import Unavailable
from twelvefold.http.rest.problems import problem_response
from twelvefold.observability import metrics

from .response_headers import ResponseHeaders
from .tracing import RequestTrace

MAX_LOGGED_PATH = 200  # characters of an unknown path in a log line
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CLIENT_CLOSED = 499  # status of a request whose client left before the response began


class RequestTimer:
    """A time limit on the task that serves a request; cheaper than asyncio.timeout."""

    __slots__ = ("_fired", "_handle", "_task")

    def __init__(self, context: RequestContext) -> None:
        self._fired = False
        self._task = asyncio.current_task()
        self._handle = asyncio.get_running_loop().call_later(context.remaining() or 0, self._fire)

    def _fire(self) -> None:
        self._fired = True
        if self._task is not None:
            self._task.cancel()

    def has_expired(self) -> bool:
        """Return whether this timer caused the present cancellation, and take it back if so."""
        if not self._fired or self._task is None:
            return False
        self._fired = False
        return self._task.uncancel() <= 0

    def cancel(self) -> None:
        """Stop the timer; a cancellation that it caused meanwhile is taken back."""
        self._handle.cancel()
        self.has_expired()


class Exchange:
    """One request and its response. `send` passes the response on with the common headers."""

    __slots__ = (
        "_headers",
        "_log",
        "_responded_at",
        "_scope",
        "_send",
        "_sent_bytes",
        "_started_at",
        "context",
        "status",
        "trace",
    )

    def __init__(
        self,
        scope: Scope,
        send: Send,
        context: RequestContext,
        *,
        headers: ResponseHeaders,
        log: Callable[[dict[str, Any]], None],
    ) -> None:
        self._started_at = self._responded_at = time.perf_counter()
        self._scope = scope
        self._send = send
        self._headers = headers
        self._log = log
        self._sent_bytes = 0
        self.context = context
        self.status: int | None = None
        self.trace: RequestTrace | None = None

    def send_by(self, send: Send) -> None:
        """Pass the response to `send` from now on, e.g. to that of the tracing instrumentation."""
        self._send = send

    async def send(self, message: Message) -> None:
        """Pass on a message of the response, completed and counted."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._responded_at = time.perf_counter()
            message["headers"] = self._headers.complete(message.get("headers", ()), self.context)
        elif message["type"] == "http.response.body":
            self._sent_bytes += len(message.get("body", b""))
        await self._send(message)

    async def refuse_late(self, receive: Receive) -> None:
        """Count a timeout, and respond with 503 unless the response has begun."""
        metrics.http_requests_refused.labels("timeout").inc()
        if self.status is None:
            late = Unavailable("The request took too long. Try again.", retry_after=1)
            await problem_response(late, self._scope)(self._scope, receive, self.send)

    def report(self) -> None:
        """Record the metrics and write the log line of the request."""
        scope = self._scope
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        template = getattr(scope.get("route"), "path", None)
        status = self.status or _CLIENT_CLOSED
        now = time.perf_counter()
        metrics.observe_request(
            scope,
            method=method,
            handler=template or metrics.UNMATCHED,
            status=status,
            seconds=now - self._started_at,
            seconds_to_response=self._responded_at - self._started_at,
        )
        fields: dict[str, Any] = {
            "method": method,
            "route": template,
            "status": status,
            "duration_ms": round((now - self._started_at) * 1000, 2),
            "bytes": self._sent_bytes,
            "principal": self.context.principal,
        }
        if template is None:
            fields["path"] = scope["path"][:MAX_LOGGED_PATH]
        self._log(fields)
