"""Manual spans and decorators, which cost next to nothing where nothing is recorded.

A span is made only within recorded work, never as a root: only a request or a job begins a trace.
`http.middleware.tracing` and `export` decide which of them do. `export` redacts spans when they
leave; names of arguments are redacted here.
"""

from __future__ import annotations

import functools
import inspect
import re
import time
from collections.abc import Callable, Mapping, Sized
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from twelvefold.context import current_request

from . import telemetry
from .redaction import REDACTED, is_secret

P = ParamSpec("P")
R = TypeVar("R")
Attributes = Mapping[str, AttributeValue]

_UNRECORDED: AbstractContextManager[Span] = nullcontext(INVALID_SPAN)
# A command tag of PostgreSQL: `UPDATE 3`, `INSERT 0 1`.
_COMMAND_TAG = re.compile(r"[A-Z ]+(?: \d+)? (\d+)")


def is_recording() -> bool:
    """Return whether the current work belongs to a recorded trace."""
    if not telemetry.is_exporting():
        return False
    request = current_request()
    if request is not None and not request.sampled:
        return False  # the common case
    return trace.get_current_span().is_recording()


def span(
    name: str, attributes: Attributes | None = None, *, kind: SpanKind = SpanKind.INTERNAL
) -> AbstractContextManager[Span]:
    """Return a context manager that makes a span; it records an exception and re-raises it.

    Where nothing is recorded, the span is a dummy and setting its attributes does nothing.
    """
    if not is_recording():
        return _UNRECORDED
    return _RecordedSpan(name, attributes, kind)


class _RecordedSpan:
    """The tracer's `start_as_current_span` at two thirds of its cost."""

    __slots__ = ("_attributes", "_kind", "_name", "_span", "_token")

    def __init__(self, name: str, attributes: Attributes | None, kind: SpanKind) -> None:
        self._name, self._attributes, self._kind = name, attributes, kind

    def __enter__(self) -> Span:
        span = self._span = telemetry.tracer().start_span(
            self._name, kind=self._kind, attributes=self._attributes
        )
        self._token = otel.attach(trace.set_span_in_context(span))
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        otel.detach(self._token)
        if isinstance(error, Exception):  # a cancellation is not an error
            self._span.record_exception(error)
            self._span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        self._span.end()


def trace_function(operation_name: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that makes a span of each call of a function, sync or async.

    The span holds the function's module and name, the number of arguments, the names of the
    keyword arguments (names of secrets redacted), the duration in milliseconds, and an exception;
    never an argument's value. Its name is `operation_name`, by default `module.function`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name = operation_name or f"{function.__module__}.{function.__qualname__}"
        fixed: dict[str, AttributeValue] = {
            "code.function.name": f"{function.__module__}.{function.__qualname__}",
            "function.module": function.__module__,
            "function.name": function.__qualname__,
        }

        def attributes(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Attributes:
            return {
                **fixed,
                "function.args.count": len(args),
                "function.kwargs.count": len(kwargs),
                "function.kwargs.names": [REDACTED if is_secret(key) else key for key in kwargs],
            }

        return _wrap(function, name, SpanKind.INTERNAL, attributes, lambda _span, _result: None)

    return decorate


def trace_database_operation(
    table: str, operation: str
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that makes a span `operation table` of each call, sync or async.

    For functions that run one statement in PostgreSQL. `db.rows_affected` comes from the result:
    see `rows_affected`.
    """
    fixed: dict[str, AttributeValue] = {
        "db.system.name": "postgresql",
        "db.collection.name": table,
        "db.operation.name": operation,
    }

    def count(recorded: Span, result: Any) -> None:
        recorded.set_attribute("db.rows_affected", rows_affected(result))

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return _wrap(
            function, f"{operation} {table}", SpanKind.INTERNAL, lambda _args, _kwargs: fixed, count
        )

    return decorate


def _wrap(
    function: Callable[P, R],
    name: str,
    kind: SpanKind,
    attributes: Callable[[tuple[Any, ...], Mapping[str, Any]], Attributes],
    finish: Callable[[Span, Any], None],
) -> Callable[P, R]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def traced_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            if not is_recording():
                return await function(*args, **kwargs)
            started = time.perf_counter()
            with span(name, attributes(args, kwargs), kind=kind) as recorded:
                try:
                    result = await function(*args, **kwargs)
                    finish(recorded, result)
                    return result
                finally:
                    recorded.set_attribute("duration_ms", _milliseconds_since(started))

        return traced_async  # type: ignore[return-value]  # R is a coroutine here

    @functools.wraps(function)
    def traced(*args: P.args, **kwargs: P.kwargs) -> R:
        if not is_recording():
            return function(*args, **kwargs)
        started = time.perf_counter()
        with span(name, attributes(args, kwargs), kind=kind) as recorded:
            try:
                result = function(*args, **kwargs)
                finish(recorded, result)
                return result
            finally:
                recorded.set_attribute("duration_ms", _milliseconds_since(started))

    return traced


def _milliseconds_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)


def rows_affected(result: Any) -> int:
    """Return how many rows a statement touched, judged by its function's result.

    A number, the length of a collection, a cursor's rowcount or a command tag counts as such; None
    and False are 0, any other object is 1.
    """
    if result is None or result is False:
        return 0
    if isinstance(result, int):
        return int(result)
    if isinstance(result, str):
        tag = _COMMAND_TAG.fullmatch(result)
        return int(tag[1]) if tag else 1
    rowcount = getattr(result, "rowcount", None)
    if isinstance(rowcount, int):
        return max(0, rowcount)
    if isinstance(result, Sized) and not isinstance(result, bytes):
        return len(result)
    return 1
