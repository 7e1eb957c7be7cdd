"""How deep a JSON body nests, seen while it streams.

Parsers and validators recurse: what is nested deeper than anything we ask for is refused before
they see it. Owns the counting, not whether it is JSON; nothing is kept but a few numbers.
"""

from __future__ import annotations

from itertools import accumulate

MAX_DEPTH = 64  # arrays and objects in one another
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))
_ALIKE = bytes.maketrans(b"{}", b"[]")
_STEP = {ord("["): 1, ord("]"): -1}


class JsonDepthLimit:
    """Feed it the chunks of a body in order."""

    __slots__ = ("_cut", "_depth", "_in_string", "_limit")

    def __init__(self, limit: int = MAX_DEPTH) -> None:
        self._limit = limit
        self._depth = 0
        self._in_string = 0
        self._cut = b""  # a backslash whose other half is in the next chunk

    def crossed_by(self, chunk: bytes, *, whole: bool = False) -> bool:
        """Whether the body now nests deeper than the limit; `whole`: there is no other chunk."""
        if whole and chunk.count(b"[") + chunk.count(b"{") <= self._limit:
            return False
        # Passes in C, since a hostile megabyte holds a million brackets.
        text = (self._cut + chunk).replace(b"\\\\", b"").replace(b'\\"', b"")
        self._cut = b"\\" if text.endswith(b"\\") else b""
        parts = text.removesuffix(b"\\").split(b'"')
        outside = b"".join(parts[self._in_string :: 2])
        self._in_string = (self._in_string + len(parts) - 1) % 2
        brackets = outside.translate(_ALIKE, _OTHERS)
        opened = brackets.count(b"[")
        if self._depth + opened > self._limit:
            deepest = max(accumulate(map(_STEP.__getitem__, brackets)), default=0)
            if self._depth + deepest > self._limit:
                return True
        self._depth += 2 * opened - len(brackets)
        return False
