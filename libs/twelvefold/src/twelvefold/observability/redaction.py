"""Redaction of secrets in logs, spans and reports.

By key (the value of a field named `password` is secret, whatever it looks like) and by shape
(bearer tokens, JWTs, URLs with credentials, private keys, values that PostgreSQL and its driver
quote). A second line of defence: code must not log secrets in the first place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twelvefold.settings import EnvironmentSettings

REDACTED = "[redacted]"
SET = "(set)"
_SECRET_KEY = re.compile(
    r"password|passwd|secret|token|authorization|cookie|api[-_]?key|access[-_]?key"
    r"|private[-_]?key|credential|signature|e?mail_body",
    re.IGNORECASE,
)
# Keys that contain such a word but hold no secret.
_PLAIN_KEYS = frozenset({"token_type", "token_error", "token_kind"})
_MEMO_SIZE = 4096
_plain: set[str] = set()  # keys already found to hold no secret
_CONTAINERS = frozenset({dict, list, tuple})

# One alternative per shape; each keeps what names the kind of secret and drops the secret. None
# matches a quote or half of an escape, so that a rendered JSON line stays valid.
#
# A client may have written the text, so the time is linear in its length: no alternative begins
# with an unbounded run that a later one could scan again, and none searches for an end that may be
# missing.
_SHAPES = re.compile(
    rb"""(?ix)
    (?P<scheme>\b(?:bearer|basic)\s+) [a-z0-9._~+/=-]{8,}
    | (?: (?<![a-z0-9_-]) eyJ[a-z0-9_-]{8,}+ | (?<=-) eyJ[a-z0-9_-]{8,256}+ )
      \.[a-z0-9_-]+ (?:\.[a-z0-9_-]*)?
    | (?P<url>://[^\s:/@"'\\]*:) [^\s/@"'\\]++ (?P<at>@)
    | -----BEGIN\ [a-z\ ]*PRIVATE\ KEY-----
      (?:[^"\\-]|\\[^"]|-(?!----END\ ))*+ (?:-----END\ [a-z\ ]*PRIVATE\ KEY-----)?
    | (?P<quoted>\)=\(|\bFailing\ row\ contains\ \(|\bfor\ query\ argument\ \$\d+:\ ) [^)"\\]+
    | (?P<pair>\b(?:password|passwd|secret|[a-z_]*token|api[-_]?key|code|x-amz-signature)\s?[=:]\s?)
      [^\s"'\\&,;)\[]+
    """
)
# Every shape contains one of these and most lines contain none: a search for them is cheaper.
_HINTS = (b" ", b"=", b"://", b"eyJ")
_TEXT_HINTS = tuple(hint.decode() for hint in _HINTS)


def is_secret(key: str) -> bool:
    """Return whether a field with this key holds a secret."""
    if key in _plain:
        return False
    if _SECRET_KEY.search(key) and key.lower() not in _PLAIN_KEYS:
        return True
    if len(_plain) < _MEMO_SIZE:
        _plain.add(key)
    return False


def has_no_secret(value: Any) -> bool:
    """Return whether `value` is text that cannot contain a credential, by a cheap test."""
    if not isinstance(value, str):
        return False
    return all(hint not in value for hint in _TEXT_HINTS)


def redact_text(text: bytes) -> bytes:
    """Return `text` with everything that looks like a credential replaced."""
    for hint in _HINTS:
        if hint in text:
            return _SHAPES.sub(_replacement, text)
    return text


def _replacement(match: re.Match[bytes]) -> bytes:
    kept = match["scheme"] or match["url"] or match["quoted"] or match["pair"] or b""
    return kept + REDACTED.encode() + (match["at"] or b"")


def redact(value: Any) -> Any:
    """Return a copy of `value` without secrets, by key and by shape, at any depth."""
    if isinstance(value, str):
        return redact_text(value.encode("utf-8", "replace")).decode()
    if isinstance(value, Mapping):
        return {
            key: REDACTED if isinstance(key, str) and is_secret(key) else redact(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact(item) for item in value]
    return value


def redact_fields(fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace secret fields in place, nested ones included; `redact_text` handles shapes."""
    if not fields.keys() <= _plain:
        for key in fields:
            if is_secret(key):
                fields[key] = REDACTED
    if not _CONTAINERS.isdisjoint(map(type, fields.values())):
        for key, value in fields.items():
            fields[key] = _redact_keys(value)
    return fields


def _redact_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: REDACTED if isinstance(key, str) and is_secret(key) else _redact_keys(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_redact_keys(item) for item in value]
    return value


def redact_settings(settings: EnvironmentSettings) -> dict[str, Any]:
    """Return names and values, fit for JSON; a secret that is set reads `(set)`."""
    return {
        name.upper(): _redact_setting(value)
        for name, value in settings.model_dump().items()  # in the order of the groups
    }


def _redact_setting(value: Any) -> Any:
    from pydantic import SecretStr  # here, because the console redacts without loading pydantic

    if isinstance(value, SecretStr):
        return SET
    if isinstance(value, dict):
        return {str(key): _redact_setting(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redact_setting(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float)) else redact(str(value))
