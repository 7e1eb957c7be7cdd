"""Operation and table of a SQL statement, for the name of its span.

OpenTelemetry's semantic conventions name a span by operation and table. Regular expressions
suffice: the suite's statements are few, and any other is named by its first word.
"""

from __future__ import annotations

import re
from functools import lru_cache

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)|--[^\n]*", re.DOTALL)
_NAME = r'"?([a-z_][\w$]*"?(?:\."?[a-z_][\w$]*)?)"?'
_TARGETS = (
    ("INSERT", re.compile(rf"\bINSERT\s+INTO\s+{_NAME}", re.IGNORECASE)),
    (
        "UPDATE",
        re.compile(rf"\bUPDATE\s+(?:ONLY\s+)?{_NAME}\s+(?:AS\s+\w+\s+)?SET\b", re.IGNORECASE),
    ),
    ("DELETE", re.compile(rf"\bDELETE\s+FROM\s+(?:ONLY\s+)?{_NAME}", re.IGNORECASE)),
    ("SELECT", re.compile(rf"\bFROM\s+{_NAME}", re.IGNORECASE)),
)
_CALL = re.compile(rf"\bSELECT\s+{_NAME}\s*\(", re.IGNORECASE)
_PING = ";"  # what SQLAlchemy sends to test a connection


@lru_cache(maxsize=1024)
def summarize_statement(statement: str) -> tuple[str, str]:
    """Return operation and table (or function) of a statement; the table may be empty."""
    text = _COMMENT.sub(" ", statement).strip()
    if text in ("", _PING):
        return "ping", ""
    first = text.split(None, 1)[0].rstrip(";").upper()
    if first not in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
        return first, ""
    # The table that a WITH changes matters more than those that it reads.
    for operation, target in _TARGETS:
        if first not in (operation, "WITH"):
            continue
        if match := target.search(text):
            return operation, match[1].replace('"', "")
    call = _CALL.search(text)
    return ("SELECT", call[1].replace('"', "")) if call else (first, "")
