"""Tables that experiments write into documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """As Markdown."""
    rule = f"|{'---|' * len(columns)}"
    head, *lines = (f"| {' | '.join(map(str, line))} |" for line in (columns, *rows))
    return "\n".join([head, rule, *lines])


def put_between(file: Path, begin: str, end: str, text: str) -> None:
    """Replaces what stands between two marks of a document."""
    before, found, rest = file.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    assert found, f"{file} has no {begin}"
    assert closed, f"{file} has no {end}"
    file.write_text(f"{before}{begin}\n{text}\n{end}{after}")
