"""Files with what is added to them, written together or not at all."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from twelvefold_dev.checkout import Checkout, read_json
from twelvefold_dev.scaffold.create import digest, record_of, write_record
from twelvefold_dev.scaffold.errors import ScaffoldError
from twelvefold_dev.scaffold.workspace import EVERYTHING, Derived, derive, format_source, install


@dataclass(frozen=True, slots=True)
class Addition:
    """What a service gets: the content of files by their paths, and what follows from them.

    `text` says in one line what was added.
    """

    service: str
    text: str
    files: Mapping[Path, str]
    derived: frozenset[Derived] = EVERYTHING
    installs: bool = False  # whether its dependencies change

    def format(self, root: Path) -> Addition:
        """Return the addition with its Python sources formatted, as the checkout's rules ask."""
        files = {
            path: format_source(root, path, content) if path.suffix == ".py" else content
            for path, content in self.files.items()
        }
        return replace(self, files=files)

    def diff(self, root: Path) -> str:
        """Return the changes as a unified diff."""
        return "".join(
            line
            for path, content in self.files.items()
            for line in difflib.unified_diff(
                (_read(root / path) or "").splitlines(keepends=True),
                content.splitlines(keepends=True),
                f"a/{path}" if (root / path).exists() else "/dev/null",
                f"b/{path}",
            )
        )

    def count_lines(self, root: Path) -> int:
        """Return how many lines the files get."""
        return sum(
            line.startswith("+") and not line.startswith("+++")
            for line in self.diff(root).splitlines()
        )


def apply_addition(checkout: Checkout, addition: Addition) -> None:
    """Write the files and what follows from them.

    Raises ScaffoldError, after which the checkout is as before.
    """
    root = checkout.root
    before = {path: _read(root / path) for path in addition.files}
    unedited = _unedited(checkout, addition)
    try:
        _write(root, addition.files)
        _follow(root, addition)
    except BaseException:
        _write(root, before)
        with suppress(ScaffoldError):  # the first error is the one to report
            _follow(root, addition)
        raise
    # What the command has written is no edit, so that `remove service` need not ask for a commit.
    if unedited:
        record = read_json(record_of(checkout, addition.service)) or {}
        record |= {str(path): digest(root / path) for path in unedited}
        write_record(checkout, addition.service, record)


def _follow(root: Path, addition: Addition) -> None:
    if addition.installs:
        install(root)
    derive(root, addition.service, addition.derived)


def _unedited(checkout: Checkout, addition: Addition) -> list[Path]:
    """Return the files that are new, or as a command has written them."""
    record = read_json(record_of(checkout, addition.service)) or {}
    here = {path: checkout.root / path for path in addition.files}
    return [
        path
        for path, file in here.items()
        if not file.exists() or record.get(str(path)) == digest(file)
    ]


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _write(root: Path, files: Mapping[Path, str | None]) -> None:
    for path, content in files.items():
        if content is None:
            (root / path).unlink(missing_ok=True)
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(content, encoding="utf-8")
