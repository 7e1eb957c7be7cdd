"""Structured logs on stdout: one JSON object a line, or colours on a terminal.

Owns the format, the fields every line carries (request, trace) and redaction, which runs last so
that nothing passes it. Not where logs go: a process writes to stdout (12factor.net/logs).
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from .http.context import current_request
from .settings import EnvironmentSettings

REDACTED = "[redacted]"
# A key that holds one of these words holds a secret, whatever its value looks like.
_SECRET_KEY = re.compile(
    r"password|passwd|secret|token|authorization|cookie|api[-_]?key|access[-_]?key"
    r"|private[-_]?key|credential|signature|mail_body",
    re.IGNORECASE,
)
# Names that hold such a word and no secret.
_PLAIN_KEYS = frozenset({"token_type", "token_error", "secret_count"})
_SHAPES = re.compile(
    r"""(?ix)
    (?P<scheme>\b(?:bearer|basic)\s+) [a-z0-9._~+/=-]{8,}
    | \beyJ[a-z0-9_-]{5,}\.[a-z0-9_-]+(?:\.[a-z0-9_-]*)?
    | (?P<url>\b[a-z][a-z0-9+.-]*://[^\s:/@"'\\]*:) [^\s@"'\\]+ (?P<at>@)
    | (?P<query>[?&](?:token|code|password|secret|signature|x-amz-signature)=) [^\s&"'\\]+
    """
)
_SHAPE_HINTS = ("earer ", "EARER ", "asic ", "eyJ", "://", "?", "&")
_key_verdicts: dict[str, bool] = {}


def _is_secret(key: str) -> bool:
    verdict = _key_verdicts.get(key)
    if verdict is None:
        verdict = bool(_SECRET_KEY.search(key)) and key.lower() not in _PLAIN_KEYS
        if len(_key_verdicts) < 4096:  # noqa: PLR2004 - bound of a memo
            _key_verdicts[key] = verdict
    return verdict


def redact_text(text: str) -> str:
    """`text` without what looks like a credential: bearer tokens, JWTs, URLs with a password."""
    if not any(hint in text for hint in _SHAPE_HINTS):
        return text
    return _SHAPES.sub(_replacement, text)


def _replacement(match: re.Match[str]) -> str:
    kept = match["scheme"] or match["url"] or match["query"] or ""
    return f"{kept}{REDACTED}{match['at'] or ''}"


def redact(value: Any) -> Any:
    """A copy of `value` without secrets, by key and by shape, at any depth."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {
            key: REDACTED if isinstance(key, str) and _is_secret(key) else redact(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact(item) for item in value]
    return value


def _redacted(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if value is None or isinstance(value, (int, float)):
            continue
        event[key] = REDACTED if _is_secret(key) else redact(value)
    return event


def _in_request(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Adds the ids of the request in hand."""
    if context := current_request():
        event.setdefault("request_id", context.request_id)
        if context.trace_id:
            event.setdefault("trace_id", context.trace_id)
            event.setdefault("span_id", context.span_id)
    return event


def configure_logs(settings: EnvironmentSettings, *, service: str) -> None:
    """Sets up structlog and the standard library's logging for this process, once."""
    level = logging.getLevelName(settings.log_level)
    console = settings.log_format == "console" or (
        settings.log_format == "auto" and sys.stdout.isatty()
    )

    def of_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        of_service,
        _in_request,
    ]
    renderer: list[Processor]
    if console:
        renderer = [_redacted, structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())]
    else:
        renderer = [
            structlog.processors.format_exc_info,
            _redacted,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "sqlalchemy", "arq"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # Ours replaces the access log; uvicorn's chatter about starting says nothing new.
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("uvicorn.error").setLevel(max(level, logging.WARNING))
    for name in ("httpx", "httpcore", "aiobotocore", "botocore", "asyncio"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
