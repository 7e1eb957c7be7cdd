"""The ends of a request's head and body in bytes that arrive in pieces of any size.

The parser consumes all bytes that it gets. These boundaries pass it one request at a time, so that
sizes do not depend on how the bytes arrive, and a connection can stop between two requests. The
parser decides what is valid; if a boundary and the parser disagree, the response is a 400.
"""

from __future__ import annotations

import re

from .refusal import ProtocolError

HEAD_BYTES = 65_536  # of a head from its first line break or letter to the empty line
# Of the request line: more than the 8,000 octets of RFC 9112 section 3, and no more than common
# servers accept.
LINE_BYTES = 16_384
# In one piece of a chunked body. The parser calls back for each chunk; so many bytes hold at most a
# few thousand chunks.
CHUNKED_BYTES = 16_384
_END = b"\r\n\r\n"
_BREAKS = b"\r\n"
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]")
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) +[^ \r\n]+ +HTTP/([0-9]\.[0-9])\r\n")
# RFC 9110 section 9.3, PATCH (RFC 5789) and QUERY. A route without one of these responds with 405.
_METHODS = frozenset(b"GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT QUERY".split())
_VERSIONS = frozenset({b"1.0", b"1.1"})


def _find_end(tail: bytes, data: bytes, at: int, stop: int) -> int:
    """Return the index after the first empty line, or -1. `tail` precedes `data[at]`."""
    seam = tail + data[at : min(at + len(_END) - 1, stop)]
    index = seam.find(_END)
    if index >= 0:
        return at + index + len(_END) - len(tail)
    index = data.find(_END, at, stop)
    return index + len(_END) if index >= 0 else -1


def _cut_tail(tail: bytes, data: bytes, at: int, end: int) -> bytes:
    keep = len(_END) - 1
    if end - at >= keep:
        return data[end - keep : end]
    return (tail + data[at:end])[-keep:]


class HeadBoundary:
    """The head of one request. `size` is its bytes so far, including line breaks before it."""

    __slots__ = ("_line", "_line_complete", "_tail", "complete", "size")

    def __init__(self) -> None:
        self.size = 0
        self.complete = False
        self._line = b""
        self._line_complete = False
        self._tail = b""

    @property
    def began(self) -> bool:
        """Whether the parser has got the request line."""
        return self._line_complete

    @property
    def is_partial(self) -> bool:
        """Whether a part of the head has arrived, but not all of it."""
        return self.size > 0 and not self.complete

    def take(self, data: bytes, at: int) -> tuple[bytes, int]:
        """Return the bytes for the parser from `data[at:]`, and the index after them.

        The request line is passed on once it is complete. Raises ProtocolError: 414, 431, 400 for
        CONNECT, 501 for an unknown method, 505 for another version.
        """
        if not self._line and data[at] in _BREAKS:
            rest = data[at:].lstrip(_BREAKS)
            self._grow(len(data) - at - len(rest))
            at = len(data) - len(rest)
            if not rest:
                return b"", at
        begun = b""
        if not self._line_complete:
            end = data.find(b"\n", at) + 1 or len(data)
            self._line += data[at : min(end, at + LINE_BYTES + 1)]
            self._check_line()
            if not self.began and _TOKEN.match(self._line):
                self._grow(end - at)
                return b"", end
            # Bytes that do not begin like a method (e.g. TLS): the parser refuses them at once.
            begun, self._line_complete = self._line, True
            self._grow(end - at)
            self._tail = self._line[-len(_END) + 1 :]
            at = end
        end = _find_end(self._tail, data, at, len(data))
        self.complete = end >= 0
        if not self.complete:
            end = len(data)
        self._grow(end - at)
        self._tail = _cut_tail(self._tail, data, at, end)
        return begun + data[at:end], end

    def _grow(self, count: int) -> None:
        self.size += count
        if self.size > HEAD_BYTES:
            raise ProtocolError(431, "The head of the request is too large.")

    def _check_line(self) -> None:
        line = self._line
        if len(line) > LINE_BYTES:
            raise ProtocolError(414, f"The request line may have at most {LINE_BYTES} bytes.")
        self._line_complete = line.endswith(b"\n")
        if not self._line_complete:
            return
        matched = _REQUEST_LINE.fullmatch(line)
        if matched is None:
            raise ProtocolError(400, "The request is not valid HTTP/1.1.")
        method, version = matched.groups()
        if version not in _VERSIONS:
            raise ProtocolError(505, "Use HTTP/1.1.")
        if method not in _METHODS:
            raise ProtocolError(501, "The method is not supported.")
        if method == b"CONNECT":
            raise ProtocolError(400, "CONNECT is not supported.")


class BodyBoundary:
    """The body of one request: `length` bytes, or in chunks where that is None."""

    __slots__ = ("_left", "_tail", "overhead")

    def __init__(self, length: int | None) -> None:
        self._left = length
        self._tail = b""
        self.overhead = 0  # bytes since the last byte of content

    def take(self, data: bytes, at: int) -> int:
        """Return the index after the bytes of `data[at:]` that the parser gets.

        A chunked body ends with an empty line, so each empty line may be its end. Raises
        ProtocolError 431 for extensions and trailers over the size of a head.
        """
        if self._left is not None:
            end = min(len(data), at + self._left)
            self._left -= end - at
            return end
        stop = min(len(data), at + CHUNKED_BYTES)
        end = _find_end(self._tail, data, at, stop)
        if end < 0:
            end = stop
        self._tail = _cut_tail(self._tail, data, at, end)
        self.overhead += end - at
        if self.overhead > HEAD_BYTES:
            raise ProtocolError(431, "The trailers or chunk extensions are too large.")
        return end
