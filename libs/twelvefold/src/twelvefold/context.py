"""The context of the current request: its id, deadline, caller, routing and trace.

The request middleware makes one object per request in one context variable. Code outside any
request (jobs, start-up) gets None or makes a context of its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from uuid_utils import uuid7

__all__ = [
    "RequestContext",
    "current_request",
    "current_request_id",
    "remaining",
]

# Accepted from clients; any other character could forge log lines or headers.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
ROUTING_HEADERS = ("canary", "experiment")
# The headers of the propagators: W3C Trace Context, Baggage and B3.
PROPAGATION_HEADERS = (
    "traceparent",
    "tracestate",
    "baggage",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
)
# On internal apps. The request middleware answers it without counting or logging it, since every
# process regularly pings each service that it calls.
PING_PATH = "/internal/v1/ping"


@dataclass(slots=True)
class RequestContext:
    """The facts about one request. `deadline` is in seconds of `time.monotonic()`."""

    request_id: str
    deadline: float | None = None
    routing: dict[str, str] = field(default_factory=dict)
    # The caller's id, for logs; set by the code that authenticates the caller.
    principal: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    # Whether spans are recorded for the request.
    sampled: bool = False
    # The request headers that the middleware needs, selected in one pass.
    incoming: Mapping[bytes, bytes] = field(default_factory=dict)
    # Further headers of the response, also if it becomes an error.
    response_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    # Further fields of each log line that is written in this context, e.g. a job's id.
    log_fields: dict[str, str] = field(default_factory=dict)

    @property
    def traceparent(self) -> str | None:
        """The `traceparent` (W3C Trace Context) to send to a callee, or None without a trace."""
        if self.trace_id is None or self.span_id is None:
            return None
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def remaining(self) -> float | None:
        """Return the seconds until the deadline, at least 0; None without a deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


current: ContextVar[RequestContext | None] = ContextVar("twelvefold_request", default=None)


def current_request() -> RequestContext | None:
    """Return the context of the current request, or None outside a request."""
    return current.get()


def current_request_id() -> str | None:
    """Return the id of the current request, or None outside a request."""
    context = current.get()
    return context.request_id if context else None


def set_principal(name: str) -> None:
    """Set the caller in the request's log line: an id, never a personal name or an address."""
    if context := current.get():
        context.principal = name


def remaining(default: float) -> float:
    """Return the seconds until the request's deadline, at most `default`."""
    context = current.get()
    left = context.remaining() if context else None
    return default if left is None else min(default, left)


@contextmanager
def request_context(context: RequestContext) -> Iterator[RequestContext]:
    """Make `context` the current one, e.g. for a job that continues a request's work."""
    token = current.set(context)
    try:
        yield context
    finally:
        current.reset(token)


def accept_request_id(value: str | None) -> str:
    """Return `value` if it is an acceptable request id, else a new id."""
    if value and _REQUEST_ID.fullmatch(value):
        return value
    return uuid7().hex
