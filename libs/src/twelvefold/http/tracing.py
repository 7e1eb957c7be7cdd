"""Decides which requests are traced, before anything is done for them, and makes their span.

Owns the decision, the one server span of a sampled request, and the ids of all the others, which
are logged and travel. A request that is not sampled stays in the context of the process, in which
instrumented libraries make no spans, so that it pays for ids only.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from contextvars import Token
from typing import Any

from opentelemetry import context as otel
from opentelemetry import propagate, trace
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)
from starlette.types import Scope

from twelvefold import telemetry

from .context import RequestContext

_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_PROPAGATION = frozenset(
    {
        b"traceparent",
        b"tracestate",
        b"baggage",
        b"b3",
        b"x-b3-traceid",
        b"x-b3-spanid",
        b"x-b3-parentspanid",
        b"x-b3-sampled",
        b"x-b3-flags",
    }
)
# What the request layer picks out of the headers for us.
HEADERS = (b"traceparent", b"b3", b"x-b3-traceid", b"baggage")
_SERVER_ERROR = 500
_LONGEST = 200  # characters that are kept of what a client says


class Tracing:
    """Of one app. With `public`, what a client says about its trace is no more than a link;
    otherwise the parent decides. `ratio` is the share of new traces that are sampled.
    """

    def __init__(self, *, ratio: float, public: bool) -> None:
        self._tracer = telemetry.tracer() if telemetry.is_exporting() else None
        self._ratio = ratio
        self._public = public

    def begin(self, scope: Scope, request: RequestContext) -> Traced:
        """Gives the request its ids, and its span where it is sampled. To be ended."""
        incoming = request.incoming
        parent = _parent(scope, incoming) if incoming else None
        trusted = None if self._public else parent
        if self._tracer is not None and (
            trusted.trace_flags.sampled if trusted is not None else random.random() < self._ratio  # noqa: S311 - chance, not secrecy
        ):
            return self._sampled(self._tracer, scope, request, parent)
        trace_id = trusted.trace_id if trusted else random.getrandbits(128) or 1
        span_id = random.getrandbits(64) or 1
        request.trace_id, request.span_id = f"{trace_id:032x}", f"{span_id:016x}"
        if self._public or b"baggage" not in incoming:
            return _UNTRACED  # as for most: no more is done for it
        return Traced(None, otel.attach(propagate.extract(_carrier(scope), otel.get_current())))

    def _sampled(
        self,
        tracer: trace.Tracer,
        scope: Scope,
        request: RequestContext,
        parent: SpanContext | None,
    ) -> Traced:
        base = otel.Context()
        if not self._public and parent is not None:
            base = propagate.extract(_carrier(scope), base)
        span = tracer.start_span(
            scope["method"],
            context=base,
            kind=SpanKind.SERVER,
            links=[Link(parent)] if self._public and parent is not None else None,
            attributes=_attributes(scope, request),
        )
        found = span.get_span_context()
        request.trace_id, request.span_id = f"{found.trace_id:032x}", f"{found.span_id:016x}"
        request.sampled = span.is_recording()
        return Traced(span, otel.attach(trace.set_span_in_context(span, base)))


class Traced:
    """What `begin` began; `end` leaves its context and ends its span, if it has one."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span | None, token: Token[otel.Context] | None) -> None:
        self._span = span
        self._token = token

    def failed(self, error: BaseException) -> None:
        """Records what nobody has handled."""
        if self._span is not None:
            self._span.record_exception(error)

    def end(self, *, method: str, route: str | None, status: int | None, user: str | None) -> None:
        """`status` None: the client left before there was an answer."""
        if self._token is not None:
            otel.detach(self._token)
        if self._span is None:
            return
        span = self._span
        span.update_name(f"{method} {route}" if route else method)
        found: dict[str, Any] = {}
        if route is not None:
            found["http.route"] = route
        if user is not None:
            found["user.id"] = user
        if status is None:
            found["error.type"] = "client_left"
        else:
            found["http.response.status_code"] = status
            if status >= _SERVER_ERROR:
                found["error.type"] = str(status)
                span.set_status(Status(StatusCode.ERROR))
        span.set_attributes(found)
        span.end()


_UNTRACED = Traced(None, None)


def _attributes(scope: Scope, request: RequestContext) -> dict[str, Any]:
    """By the semantic conventions, without the query: it may hold tokens."""
    found = {
        "http.request.method": scope["method"],
        "url.scheme": scope["scheme"],
        "url.path": scope["path"][:_LONGEST],
        "request_id": request.request_id,
    }
    if client := scope.get("client"):
        found["client.address"] = client[0]
    for name, value in scope["headers"]:
        if name == b"user-agent":
            found["user_agent.original"] = value[:_LONGEST].decode("latin-1")
            break
    return found


def _parent(scope: Scope, incoming: Mapping[bytes, bytes]) -> SpanContext | None:
    """The caller's span as the propagators would find it, W3C before B3, or None."""
    header = incoming.get(b"traceparent")
    if header is not None and (match := _TRACEPARENT.fullmatch(header)):
        trace_id, span_id = int(match[1], 16), int(match[2], 16)
        if trace_id and span_id:
            flags = TraceFlags(int(match[3], 16))
            return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
    if b"x-b3-traceid" in incoming or b"b3" in incoming:
        found = trace.get_current_span(propagate.extract(_carrier(scope), otel.Context()))
        parent = found.get_span_context()
        return parent if parent.is_valid else None
    return None


def _carrier(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in _PROPAGATION
    }
