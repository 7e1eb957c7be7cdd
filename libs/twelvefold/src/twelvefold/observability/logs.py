"""Structured logs on stdout: one JSON object a line, or coloured text on a terminal.

Owns the format, the fields of every line (request, trace) and the order of processors: redaction
runs last, so that no other processor can add a secret after it. A process writes to stdout only
(12factor.net/logs).

structlog writes to stdout directly: the standard library's logging would cost each request
several times as much. A handler brings the loggers of libraries into the same format.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO, TextIO

import structlog
from opentelemetry import trace
from pydantic_core import to_json
from structlog.typing import EventDict, Processor, WrappedLogger

from twelvefold.context import RequestContext, current_request
from twelvefold.contracts.terminal import escape_unprintable
from twelvefold.settings import EnvironmentSettings

from .log_level import log_level
from .redaction import redact_fields, redact_text

REQUEST_LOGGER = "twelvefold.request"
_request_loggers: list[Callable[[dict[str, Any]], None]] = []


def request_log() -> Callable[[dict[str, Any]], None]:
    """Return the function that writes a request's line, as logging is configured now."""
    if _request_loggers:
        return _request_loggers[0]
    logger = structlog.get_logger(REQUEST_LOGGER).bind()
    return lambda fields: logger.info("request", **fields)


_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "msg": logging.INFO,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "critical": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}


class _Logger(structlog.make_filtering_bound_logger(logging.DEBUG)):  # type: ignore[misc]  # its base is made by a function
    """A logger that reads the level at each call, because modules keep their loggers."""

    def _proxy_to_logger(self, method_name: str, *args: Any, **fields: Any) -> Any:
        if _LEVELS.get(method_name, logging.INFO) < log_level.number:
            return None
        return super()._proxy_to_logger(method_name, *args, **fields)


class _Stdout:
    """The sink of structlog's loggers: writes whole lines.

    It ignores a closed pipe: a reader that ended must not fail the request that is being logged.
    """

    def __init__(self, stream: BinaryIO, name: str | None = None) -> None:
        self._stream = stream
        self.name = name
        self._pending: list[bytes] = []

    def write(self, line: bytes) -> None:
        self._pending.append(line)
        self._flush()

    def write_soon(self, line: bytes) -> None:
        """Write `line` at the end of this turn of the event loop.

        Requests that end in the same turn share one system call.
        """
        self._pending.append(line)
        if len(self._pending) == 1:
            try:
                asyncio.get_running_loop().call_soon(self._flush)
            except RuntimeError:  # no running loop
                self._flush()

    def _flush(self) -> None:
        lines, self._pending = self._pending, []
        if lines:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(b"\n".join([*lines, b""]))
                self._stream.flush()

    debug = info = warning = error = critical = exception = msg = write


class _Handler(logging.Handler):
    """Write the records of the standard library's loggers in the same format."""

    def __init__(self, stdout: _Stdout) -> None:
        super().__init__()
        self._stdout = stdout

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._stdout.write(self.format(record).encode("utf-8", "replace"))
        except Exception:
            self.handleError(record)


class _Clock:
    """Times in RFC 3339 and UTC. Formats the seconds once a second, not once a line."""

    def __init__(self) -> None:
        self._second = -1
        self._prefix = ""

    def now(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            self._second = second
        return f"{self._prefix}{int((now - second) * 1_000_000):06d}Z"


def _span_id(context: RequestContext) -> str | None:
    """Return the id of the innermost recorded span, or else of the request or job."""
    if context.sampled:
        inner = trace.get_current_span().get_span_context()
        if inner.is_valid:
            return f"{inner.span_id:016x}"
    return context.span_id


def _add_common_fields(service: str) -> Processor:
    """Return the processor that puts time, level, event, service, request and trace first."""
    clock = _Clock()

    def add_common_fields(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        line: EventDict = {
            "time": clock.now(),
            "level": event.pop("level", None) or ("error" if method == "exception" else method),
            "event": event.pop("event", ""),
            "service": service,
        }
        if context := current_request():
            line["request_id"] = context.request_id
            if context.trace_id is not None:
                line["trace_id"] = context.trace_id
                line["span_id"] = _span_id(context)
            if context.log_fields:
                line.update(context.log_fields)
        if logger is not None and logger.name is not None:
            line["logger"] = logger.name
        line.update(event)
        return line

    return add_common_fields


def _redact_secret_fields(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return redact_fields(event)


def _json_bytes(_: WrappedLogger, __: str, event: EventDict) -> bytes:
    try:
        line = to_json(event, fallback=str)
    except ValueError:  # a lone surrogate, or bytes that are not UTF-8
        line = json.dumps(event, default=repr).encode()
    return redact_text(line)


def _json_text(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return _json_bytes(logger, method, event).decode()


class _JsonRequestLogger:
    """Write a request's line as the processors above would, at a fifth of their cost."""

    def __init__(self, service: str, write: Callable[[bytes], None]) -> None:
        self._clock = _Clock()
        self._service = service
        self._write = write

    def __call__(self, fields: dict[str, Any]) -> None:
        if log_level.number > logging.INFO:
            return
        context = current_request()
        line = {
            "time": self._clock.now(),
            "level": "info",
            "event": "request",
            "service": self._service,
            "request_id": context.request_id if context else None,
            "trace_id": context.trace_id if context else None,
            "span_id": context.span_id if context else None,
            "logger": REQUEST_LOGGER,
            **fields,
        }
        try:
            rendered = to_json(line)
        except ValueError:  # a lone surrogate
            rendered = json.dumps(line).encode()
        # No other field holds a client's text: each is a route's template, a number or an id.
        self._write(redact_text(rendered) if "path" in fields else rendered)


def _plain_traceback(stream: TextIO, error: Any) -> None:
    """Print a traceback without local variables and without a terminal's control sequences."""
    text = io.StringIO()
    structlog.dev.plain_traceback(text, error)
    stream.write(escape_unprintable(text.getvalue(), keep_lines=True))


class _Console:
    """Format lines for people, redacted as the JSON lines are."""

    def __init__(self, colors: bool) -> None:
        self._render = structlog.dev.ConsoleRenderer(
            colors=colors,
            timestamp_key="time",
            # The default shows the local variables of every frame, which may hold passwords.
            exception_formatter=_plain_traceback,
        )

    def format_text(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        for key, value in event.items():
            if isinstance(value, str):
                event[key] = escape_unprintable(value)
        event["time"] = str(event.get("time", ""))[11:23]
        rendered = str(self._render(logger, method, event))
        return redact_text(rendered.encode("utf-8", "replace")).decode()

    def format_bytes(self, logger: WrappedLogger, method: str, event: EventDict) -> bytes:
        return self.format_text(logger, method, event).encode()


def configure_logs(
    settings: EnvironmentSettings, *, service: str, stream: BinaryIO | None = None
) -> None:
    """Configure structlog and the standard library's logging for this process.

    `stream` replaces stdout, for tests and benchmarks.
    """
    is_terminal = stream is None and sys.stdout.isatty()
    target = stream or sys.stdout.buffer
    common: list[Processor] = [_add_common_fields(service), structlog.processors.format_exc_info]
    renderer: Processor  # for structlog's loggers
    library_renderer: Processor
    _request_loggers.clear()
    if settings.log_format == "console" or (settings.log_format == "auto" and is_terminal):
        console = _Console(colors=is_terminal)
        common = common[:1]  # the renderer prints tracebacks itself
        renderer, library_renderer = console.format_bytes, console.format_text
    else:
        renderer, library_renderer = _json_bytes, _json_text
        lines = _Stdout(target)
        write = lines.write_soon if stream is None else lines.write
        _request_loggers.append(_JsonRequestLogger(service, write))
    structlog.configure(
        processors=[*common, _redact_secret_fields, renderer],
        wrapper_class=_Logger,
        logger_factory=lambda *name: _Stdout(target, *name[:1]),
        # A cached logger keeps its stream for good, so a temporary stream must not be cached.
        cache_logger_on_first_use=stream is None,
    )
    _configure_standard_logging(_Stdout(target), [*common, _redact_secret_fields, library_renderer])
    log_level.configure(settings.log_level)


def _configure_standard_logging(stdout: _Stdout, chain: list[Processor]) -> None:
    handler = _Handler(stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *chain],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Handlers that libraries attached would print their lines a second time, in another format.
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.startswith(("uvicorn", "sqlalchemy", "arq")):
            logger.handlers.clear()
            logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True
