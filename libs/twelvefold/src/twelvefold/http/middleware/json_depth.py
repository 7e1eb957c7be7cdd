"""The nesting depth of a JSON body, counted while it streams.

Parsers and validators recurse, so a body that nests deeper than any schema of the suite is refused
before they read it. Owns the counting in constant memory, not whether the body is valid JSON.
"""

from __future__ import annotations

from itertools import accumulate

MAX_DEPTH = 64  # nested arrays and objects
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_STEP = {ord("["): 1, ord("]"): -1}


class JsonDepthLimit:
    """The depth of one body, whose chunks are passed in order."""

    __slots__ = ("_carry", "_depth", "_in_string", "_limit")

    def __init__(self, limit: int = MAX_DEPTH) -> None:
        self._limit = limit
        self._depth = 0
        self._in_string = 0
        self._carry = b""  # a backslash at the end of a chunk, which escapes the next byte

    def is_exceeded_by(self, chunk: bytes, *, whole: bool = False) -> bool:
        """Return whether the body now nests deeper; `whole` says that there is no other chunk."""
        if whole and chunk.count(b"[") + chunk.count(b"{") <= self._limit:
            return False
        # Passes in C, since a hostile megabyte holds a million brackets.
        text = (self._carry + chunk).replace(b"\\\\", b"").replace(b'\\"', b"")
        self._carry = b"\\" if text.endswith(b"\\") else b""
        parts = text.removesuffix(b"\\").split(b'"')
        outside = b"".join(parts[self._in_string :: 2])
        self._in_string = (self._in_string + len(parts) - 1) % 2
        brackets = outside.translate(_TO_SQUARE, _NOT_BRACKETS)
        opened = brackets.count(b"[")
        if self._depth + opened > self._limit:
            deepest = max(accumulate(map(_STEP.__getitem__, brackets)), default=0)
            if self._depth + deepest > self._limit:
                return True
        self._depth += 2 * opened - len(brackets)
        return False
