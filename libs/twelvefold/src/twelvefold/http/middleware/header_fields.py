"""The head of a request as the app reads it: lists joined, single values single, slashes kept.

Owns what several lines of one header mean (RFC 9110 section 5.3), which characters those may have
that we read or send on, and that an encoded slash of the path is no separator. What a value
means is its reader's; sizes, and what makes a message, are `protocol`'s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

from starlette.types import Scope

from twelvefold.context import ROUTING_HEADERS
from twelvefold.errors import BadRequest, FieldError, TwelvefoldError

Headers = Sequence[tuple[bytes, bytes]]

LIST_HEADERS = frozenset({b"if-match", b"if-none-match"})
_ROUTING = frozenset(name.encode() for name in ROUTING_HEADERS)
# Which line of several counts differs between proxies and frameworks, as for a repeated query
# parameter: one that says who asks, or what a body is, is not guessed at.
SINGLE_HEADERS = _ROUTING | {
    b"authorization",
    b"content-type",
    b"idempotency-key",
    b"last-event-id",
    b"origin",
    b"x-caller",
    b"x-caller-secret",
    b"x-request-deadline",
}
# Sent on to another service or kept: a client cannot write anything else into a header.
_ASCII_HEADERS = _ROUTING | LIST_HEADERS | {b"idempotency-key", b"last-event-id"}
_ASCII = re.compile(rb"[\t\x20-\x7e]*")
MAX_ROUTING_BYTES = 128
_READ = LIST_HEADERS | SINGLE_HEADERS
_SLASH = re.compile(r"%2[fF]")


def normalize_head(scope: Scope) -> TwelvefoldError | None:
    """Join what is a list in `scope`; return the refusal of what is not to be understood."""
    headers: Headers = scope["headers"]
    found = [name for name, _ in headers if name in _READ]
    if not found:
        return None
    if len(found) > 1 and len(set(found)) < len(found):
        repeated = {name for name in found if found.count(name) > 1}
        if singles := sorted(repeated - LIST_HEADERS):
            return _refuse(
                "A header that has one value is sent more than once.",
                singles,
                "is given more than once",
            )
        headers = scope["headers"] = _join(headers, repeated)
    malformed = [
        name for name, value in headers if name in _ASCII_HEADERS and not _ASCII.fullmatch(value)
    ]
    if malformed:
        return _refuse(
            "A header holds characters other than printable ASCII.",
            malformed,
            "is not printable ASCII",
        )
    long = [name for name, value in headers if name in _ROUTING and len(value) > MAX_ROUTING_BYTES]
    if long:
        return _refuse(
            "A header is too long.", long, f"has more than {MAX_ROUTING_BYTES} characters"
        )
    return None


def keep_encoded_slashes(scope: Scope) -> None:
    """Leave `%2F` in the path as it is: decoded, it would make another path (RFC 3986 section 2.2)."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%2F" in raw or b"%2f" in raw:
        path = raw.decode("latin-1").partition("?")[0]
        scope["path"] = "%2F".join(unquote(part) for part in _SLASH.split(path))


def _join(headers: Headers, names: set[bytes]) -> list[tuple[bytes, bytes]]:
    joined: dict[bytes, list[bytes]] = {name: [] for name in names}
    rest = []
    for name, value in headers:
        if name in joined:
            joined[name].append(value)
        else:
            rest.append((name, value))
    return [*rest, *((name, b", ".join(values)) for name, values in joined.items())]


def _refuse(detail: str, names: Sequence[bytes], fault: str) -> BadRequest:
    return BadRequest(
        detail, errors=[FieldError(f"/header/{name.decode()}", fault) for name in names]
    )
