"""Text of strangers, fit to be shown on a terminal.

A path, a header or an error may hold escape sequences that clear a screen, move its cursor or turn
the direction of writing; shown as they are, they forge what an operator reads.
"""

from __future__ import annotations

_OF_LINES = frozenset("\n\t")


def escape_unprintable(text: str, *, keep_lines: bool = False) -> str:
    """`text` with what is not printable as Python would escape it.

    `keep_lines` leaves line breaks and tabs, for tracebacks and other text of several lines.
    """
    if text.isprintable():
        return text
    kept = _OF_LINES if keep_lines else frozenset()
    return "".join(
        char
        if char.isprintable() or char in kept
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
