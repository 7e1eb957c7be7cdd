"""Structured logs on stdout: one JSON object a line, or colours on a terminal.

Owns the format, the fields every line carries (request, trace) and redaction, which runs last so
that nothing passes it. Not where logs go: a process writes to stdout (12factor.net/logs).

structlog writes straight to stdout instead of through the standard library's logging, which
would cost every request several times as much; loggers of libraries join it by a handler.
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
_request_lines: list[Callable[[dict[str, Any]], None]] = []


def request_log() -> Callable[[dict[str, Any]], None]:
    """What writes the one line of a request, with the set-up of this moment."""
    if _request_lines:
        return _request_lines[0]
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


class _Logger(structlog.make_filtering_bound_logger(logging.DEBUG)):  # type: ignore[misc]  # made by a function
    """Asks for the level at each call: modules keep their loggers, and the level may change."""

    def _proxy_to_logger(self, method_name: str, *args: Any, **fields: Any) -> Any:
        if _LEVELS.get(method_name, logging.INFO) < log_level.number:
            return None
        return super()._proxy_to_logger(method_name, *args, **fields)


class _Stdout:
    """Writes whole lines; what a logger of structlog ends in.

    A reader that has gone away must not fail the request that is being logged.
    """

    def __init__(self, stream: BinaryIO, name: str | None = None) -> None:
        self._stream = stream
        self.name = name
        self._waiting: list[bytes] = []

    def write(self, line: bytes) -> None:
        self._waiting.append(line)
        self._flush()

    def write_soon(self, line: bytes) -> None:
        """With the others of this turn of the event loop: requests that end in the same turn cost
        one call of the system, and the reader wakes up once.
        """
        self._waiting.append(line)
        if len(self._waiting) == 1:
            try:
                asyncio.get_running_loop().call_soon(self._flush)
            except RuntimeError:  # outside of one
                self._flush()

    def _flush(self) -> None:
        lines, self._waiting = self._waiting, []
        if lines:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(b"\n".join([*lines, b""]))
                self._stream.flush()

    debug = info = warning = error = critical = exception = msg = write


class _Handler(logging.Handler):
    """Brings the records of the standard library's loggers into the same lines."""

    def __init__(self, stdout: _Stdout) -> None:
        super().__init__()
        self._stdout = stdout

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._stdout.write(self.format(record).encode("utf-8", "replace"))
        except Exception:
            self.handleError(record)


class _Clock:
    """RFC 3339 in UTC; the seconds are formatted once a second, not once a line."""

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
    """Of the innermost span that is recorded, else of the request or job."""
    if context.sampled:
        inner = trace.get_current_span().get_span_context()
        if inner.is_valid:
            return f"{inner.span_id:016x}"
    return context.span_id


def _complete(service: str) -> Processor:
    """Puts what every line has in front: time, level, event, service, request, trace, logger."""
    clock = _Clock()

    def complete(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
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

    return complete


def _fields_redacted(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return redact_fields(event)


def _json_bytes(_: WrappedLogger, __: str, event: EventDict) -> bytes:
    try:
        line = to_json(event, fallback=str)
    except ValueError:  # a lone surrogate, bytes that are no UTF-8
        line = json.dumps(event, default=repr).encode()
    return redact_text(line)


def _json_text(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return _json_bytes(logger, method, event).decode()


class _RequestLines:
    """The canonical line of each request in JSON: as the chain above writes it, at a fifth of its
    cost, which would be the largest part of what our layers add to a request.
    """

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
        # Every other field is ours: a route's template, a number, an id.
        self._write(redact_text(rendered) if "path" in fields else rendered)


def _plain_traceback(stream: TextIO, error: Any) -> None:
    """Without local variables, and without what a message could do to a terminal."""
    text = io.StringIO()
    structlog.dev.plain_traceback(text, error)
    stream.write(escape_unprintable(text.getvalue(), keep_lines=True))


class _Console:
    """Readable lines with colours, redacted as the JSON ones are."""

    def __init__(self, colors: bool) -> None:
        self._render = structlog.dev.ConsoleRenderer(
            colors=colors,
            timestamp_key="time",
            # The default shows every frame's local variables: passwords among them.
            exception_formatter=_plain_traceback,
        )

    def text(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        for key, value in event.items():
            if isinstance(value, str):
                event[key] = escape_unprintable(value)
        event["time"] = str(event.get("time", ""))[11:23]
        rendered = str(self._render(logger, method, event))
        return redact_text(rendered.encode("utf-8", "replace")).decode()

    def encoded(self, logger: WrappedLogger, method: str, event: EventDict) -> bytes:
        return self.text(logger, method, event).encode()


def configure_logs(
    settings: EnvironmentSettings, *, service: str, stream: BinaryIO | None = None
) -> None:
    """Sets up structlog and the standard library's logging of this process, once.

    `stream` takes the place of stdout, for tests and benchmarks.
    """
    terminal = stream is None and sys.stdout.isatty()
    target = stream or sys.stdout.buffer
    common: list[Processor] = [_complete(service), structlog.processors.format_exc_info]
    last: Processor
    foreign: Processor
    _request_lines.clear()
    if settings.log_format == "console" or (settings.log_format == "auto" and terminal):
        console = _Console(colors=terminal)
        common = common[:1]  # the renderer prints tracebacks itself
        last, foreign = console.encoded, console.text
    else:
        last, foreign = _json_bytes, _json_text
        lines = _Stdout(target)
        write = lines.write_soon if stream is None else lines.write
        _request_lines.append(_RequestLines(service, write))
    structlog.configure(
        processors=[*common, _fields_redacted, last],
        wrapper_class=_Logger,
        logger_factory=lambda *name: _Stdout(target, *name[:1]),
        # Modules keep the loggers that they have used: for good, so not with a passing stream.
        cache_logger_on_first_use=stream is None,
    )
    _join_standard_logging(_Stdout(target), [*common, _fields_redacted, foreign])
    log_level.configure(settings.log_level)


def _join_standard_logging(stdout: _Stdout, chain: list[Processor]) -> None:
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
    # Whatever a library attached to its own loggers would print in another format.
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.startswith(("uvicorn", "sqlalchemy", "arq")):
            logger.handlers.clear()
            logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True
