"""Escaping of untrusted text for a terminal.

A path, a header or an error may hold control sequences that clear the screen, move the cursor or
reverse the direction of text, and so forge what an operator reads.
"""

from __future__ import annotations

_LINE_CHARACTERS = frozenset("\n\t")


def escape_unprintable(text: str, *, keep_lines: bool = False) -> str:
    """Return `text` with unprintable characters escaped as in Python.

    `keep_lines` keeps line breaks and tabs, for tracebacks and other texts of several lines.
    """
    if text.isprintable():
        return text
    kept = _LINE_CHARACTERS if keep_lines else frozenset()
    return "".join(
        char
        if char.isprintable() or char in kept
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
