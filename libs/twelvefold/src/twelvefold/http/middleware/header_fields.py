"""The head of a request as the app reads it.

Owns the meaning of several lines of one header (RFC 9110 section 5.3), the characters of headers
that are read or forwarded, and encoded slashes in the path, which are no separators. Sizes and
message framing belong to `http.server`.
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
# Proxies and frameworks disagree which of several lines counts, as for a repeated query parameter,
# so a repeated header that identifies the caller or describes the body is refused.
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
# Forwarded to another service or stored, so that only ASCII is accepted.
_ASCII_HEADERS = _ROUTING | LIST_HEADERS | {b"idempotency-key", b"last-event-id"}
_ASCII = re.compile(rb"[\t\x20-\x7e]*")
MAX_ROUTING_BYTES = 128
MAX_FIELD_BYTES = 8_192  # of the other headers that are read, their lines joined
_BOUNDS = ((_ROUTING, MAX_ROUTING_BYTES), (_ASCII_HEADERS - _ROUTING, MAX_FIELD_BYTES))
_READ = LIST_HEADERS | SINGLE_HEADERS
_SLASH = re.compile(r"%2[fF]")


def normalize_head(scope: Scope) -> TwelvefoldError | None:
    """Join the lines of list headers in `scope`; return an error for an ambiguous head."""
    headers: Headers = scope["headers"]
    names = [name for name, _ in headers if name in _READ]
    if not names:
        return None
    if len(names) > 1 and len(set(names)) < len(names):
        repeated = {name for name in names if names.count(name) > 1}
        if singles := sorted(repeated - LIST_HEADERS):
            return _bad_headers("A header is repeated. Send it once.", singles, "is repeated")
        headers = scope["headers"] = _join(headers, repeated)
    malformed = [
        name for name, value in headers if name in _ASCII_HEADERS and not _ASCII.fullmatch(value)
    ]
    if malformed:
        return _bad_headers(
            "A header contains characters other than printable ASCII.",
            malformed,
            "is not printable ASCII",
        )
    for checked, bound in _BOUNDS:
        long = [name for name, value in headers if name in checked and len(value) > bound]
        if long:
            return _bad_headers("A header is too long.", long, f"has more than {bound} characters")
    return None


def keep_encoded_slashes(scope: Scope) -> None:
    """Keep `%2F` in the path encoded, since it is no separator (RFC 3986 section 2.2)."""
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


def _bad_headers(detail: str, names: Sequence[bytes], fault: str) -> BadRequest:
    return BadRequest(
        detail, errors=[FieldError(f"/header/{name.decode()}", fault) for name in names]
    )
