"""The head of a request: its target, its host and the length of its body (RFC 9112 sections 3, 6).

Owns the checks that the parser leaves to the server.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import unquote

import httptools

from .refusal import ProtocolError

Headers = list[tuple[bytes, bytes]]

MAX_FIELDS = 100  # header lines, as in Envoy and Apache; each costs more than its bytes
# uri-host [":" port] of RFC 3986 section 3.2.2, without the empty host (RFC 9110 section 4.2.1).
_HOST = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::[0-9]{0,5})?"
)
_AUTHORITY = re.compile(rb"[a-z]+://([^/?#]*)", re.IGNORECASE)
_SCHEMES = frozenset({b"http", b"https"})


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A parsed head. `path` is decoded, `raw_path` is not; `body_length` is None if chunked."""

    path: str
    raw_path: bytes
    query: bytes
    body_length: int | None


def parse_head(method: str, version: str, target: bytes, headers: Headers) -> RequestHead:
    """Parse the head, whose names in `headers` are in lower case.

    The host of an absolute target replaces the one in `headers` (RFC 9112 section 3.2.2). Raises
    ProtocolError: 400, or 501 for a transfer coding other than chunked.
    """
    hosts = 0
    length: int | None = 0
    chunked = False
    for name, value in headers:
        if name == b"host":
            hosts += 1
            _check_host(value)
        elif name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                raise ProtocolError(501, "The only supported transfer coding is chunked.")
            chunked = True
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise ProtocolError(400, "Send exactly one Host header.")
    raw_path, query = _parse_target(method, target, headers)
    path = raw_path.decode("ascii")
    if "%" in path:
        path = unquote(path)
    return RequestHead(path, raw_path, query, None if chunked else length)


def _check_host(value: bytes) -> None:
    matched = _HOST.fullmatch(value)
    if matched is not None and _is_address(matched.group(1)):
        return
    raise ProtocolError(400, "The Host header is invalid.")


def _is_address(literal: bytes | None) -> bool:
    if literal is None:
        return True  # a name
    try:
        ipaddress.IPv6Address(literal.decode("ascii"))
    except ValueError:
        return False
    return True


def _parse_target(method: str, target: bytes, headers: Headers) -> tuple[bytes, bytes]:
    if target == b"*" and method != "OPTIONS":
        raise ProtocolError(400, "The request target is invalid.")
    try:
        parsed = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError as error:
        raise ProtocolError(400, "The request target is invalid.") from error
    if parsed.fragment is not None or parsed.userinfo is not None:
        raise ProtocolError(400, "The request target is invalid.")
    if parsed.schema is not None:
        _take_host(target, parsed.schema, headers)
    return parsed.path or b"/", parsed.query or b""


def _take_host(target: bytes, scheme: bytes, headers: Headers) -> None:
    authority = _AUTHORITY.match(target)
    if authority is None or scheme.lower() not in _SCHEMES:
        raise ProtocolError(400, "The request target is invalid.")
    host = authority.group(1)
    _check_host(host)
    headers[:] = [(b"host", host), *(header for header in headers if header[0] != b"host")]
