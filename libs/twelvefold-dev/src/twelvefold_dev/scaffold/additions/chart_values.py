"""Lines in the values files of a chart, which stay as they were written otherwise."""

from __future__ import annotations

import textwrap
from pathlib import Path

from twelvefold_dev.scaffold.errors import ListMissing


def add_entry(text: str, keys: tuple[str, ...], entry: str, path: Path) -> str:
    """Return YAML in blocks with `entry` at the end of the mapping below `keys`.

    `path` is the file, for the error: raises ListMissing where it has no such mapping.
    """
    lines = text.splitlines(keepends=True)
    start, end = -1, len(lines)
    for depth, key in enumerate(keys):
        heading = f"{'  ' * depth}{key}:\n"
        if heading not in lines[start + 1 : end]:
            raise ListMissing(f"{path} has no {'.'.join(keys)}")
        start = lines.index(heading, start + 1, end)
        end = _end(lines, start, indent="  " * (depth + 1))
    added = textwrap.indent(f"{entry}\n", "  " * len(keys))
    return "".join([*lines[:end], added, *lines[end:]])


def _end(lines: list[str], start: int, *, indent: str) -> int:
    """Return where the block of a heading ends; a comment after it belongs to what follows."""
    end = start + 1
    for number, line in enumerate(lines[start + 1 :], start + 1):
        if line.startswith(indent):
            end = number + 1
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    return end
