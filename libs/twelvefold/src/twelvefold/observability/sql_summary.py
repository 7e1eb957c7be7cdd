"""What a SQL statement does, in two words: for the name of its span.

By the semantic conventions a span is named by operation and table. No parser: our statements are
few, and one that is not understood is named by its first word.
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
_PING = ";"  # what SQLAlchemy sends to see whether a connection still is one


@lru_cache(maxsize=1024)
def summarize_statement(statement: str) -> tuple[str, str]:
    """Operation and table (or function) of a statement; either may be a guess or empty."""
    text = _COMMENT.sub(" ", statement).strip()
    if text in ("", _PING):
        return "ping", ""
    first = text.split(None, 1)[0].rstrip(";").upper()
    if first not in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
        return first, ""
    # What a WITH changes matters more than what it looks up first.
    for operation, target in _TARGETS:
        if first not in (operation, "WITH"):
            continue
        if found := target.search(text):
            return operation, found[1].replace('"', "")
    call = _CALL.search(text)
    return ("SELECT", call[1].replace('"', "")) if call else (first, "")
