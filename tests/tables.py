"""Tables that experiments write into documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """As Markdown."""
    rule = f"|{'---|' * len(columns)}"
    head, *lines = (f"| {' | '.join(map(str, line))} |" for line in (columns, *rows))
    return "\n".join([head, rule, *lines])


def merged(old: str, new: str) -> str:
    """The rows of a new table in the place of those of an old one that begin with the same cell.

    What was not measured anew is kept; what is new comes last.
    """
    head, rule, *lines = new.splitlines()
    rows = {_first(line): line for line in old.strip().splitlines()[2:]}
    rows.update({_first(line): line for line in lines})
    return "\n".join([head, rule, *rows.values()])


def _first(line: str) -> str:
    return line.split("|")[1].strip()


def between(file: Path, begin: str, end: str) -> str:
    """What stands between two marks of a document."""
    return file.read_text().partition(begin)[2].partition(end)[0]


def put_between(file: Path, begin: str, end: str, text: str) -> None:
    """Replaces what stands between two marks of a document."""
    before, found, rest = file.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    assert found, f"{file} has no {begin}"
    assert closed, f"{file} has no {end}"
    file.write_text(f"{before}{begin}\n{text}\n{end}{after}")
