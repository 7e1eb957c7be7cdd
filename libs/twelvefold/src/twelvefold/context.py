"""What is known about the request in hand: its id, deadline, caller, routing and trace.

One object per request in one context variable, made by the request layer. Code that serves a
request reads it here; code outside any request (jobs, start-up) finds None or makes its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from uuid_utils import uuid7

# What we accept from outside; anything else could forge log lines or headers.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
ROUTING_HEADERS = ("canary", "experiment")
# On internal apps: answered in front of everything, neither counted nor logged, since every
# process asks every other one whether it is there.
PING_PATH = "/internal/v1/ping"


@dataclass(slots=True)
class RequestContext:
    """Facts of one request. `deadline` is in the seconds of `time.monotonic()`."""

    request_id: str
    deadline: float | None = None
    routing: dict[str, str] = field(default_factory=dict)
    # Who asks, for logs: set by the code that authenticated them.
    principal: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    # Whether spans are recorded for it.
    sampled: bool = False
    # The few request headers that the layers need, picked out in one pass.
    incoming: Mapping[bytes, bytes] = field(default_factory=dict)
    # Further headers of the answer, whichever it becomes.
    response_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    # Further fields of every log line that is written meanwhile, e.g. a job's id.
    log_fields: dict[str, str] = field(default_factory=dict)

    @property
    def traceparent(self) -> str | None:
        """The W3C header that a callee of this request should see, or None without a trace."""
        if self.trace_id is None or self.span_id is None:
            return None
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def remaining(self) -> float | None:
        """Seconds until the deadline, never negative; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


current: ContextVar[RequestContext | None] = ContextVar("twelvefold_request", default=None)


def current_request() -> RequestContext | None:
    """The request in hand, or None outside one."""
    return current.get()


def current_request_id() -> str | None:
    """The id of the request in hand, or None outside one."""
    context = current.get()
    return context.request_id if context else None


def set_principal(name: str) -> None:
    """Names who asks in the request's log line; an id, never a name or an address."""
    if context := current.get():
        context.principal = name


def remaining(default: float) -> float:
    """Seconds left until the request's deadline, at most `default`."""
    context = current.get()
    left = context.remaining() if context else None
    return default if left is None else min(default, left)


@contextmanager
def request_context(context: RequestContext) -> Iterator[RequestContext]:
    """Makes `context` the current one, e.g. for a job that continues a request's work."""
    token = current.set(context)
    try:
        yield context
    finally:
        current.reset(token)


def request_id_from(value: str | None) -> str:
    """`value` where it is an acceptable request id, else a new one."""
    if value and _REQUEST_ID.fullmatch(value):
        return value
    return uuid7().hex
