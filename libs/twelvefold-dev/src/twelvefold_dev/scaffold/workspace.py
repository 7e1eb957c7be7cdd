"""The steps after services have changed: lock, install, format, and everything that is derived.

Runs the tools of the checkout's environment; each is a process of its own, because this process has
the services of before.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path

from .errors import ScaffoldError

_TIMEOUT = 600.0  # seconds for one step, also without any cache
_STAMPS = (".synced", ".synced-delivery")  # of the Makefile


class Derived(Enum):
    """What follows from the code of services and is kept in the tree."""

    PAGES = "docs/reference"
    DOCUMENTS = "docs/api"  # of one service: those of others do not depend on it
    CHARTS = "lists of services, tables, schemas and budgets of the charts"


EVERYTHING = frozenset(Derived)
WITHOUT_DOCUMENTS = EVERYTHING - {Derived.DOCUMENTS}
# The pages of docs/reference that show what services declare.
_PAGES = ("settings.md", "metrics.md")


def install(root: Path, *, removed: str | None = None) -> None:
    """Lock and install the members of the workspace; uninstall `removed`.

    Raises ScaffoldError where a tool fails.
    """
    if removed is not None:
        _run(root, "uv", "pip", "uninstall", "--quiet", f"twelvefold-{removed}")
    _run(root, "uv", "lock", "--quiet")
    _run(root, "uv", "sync", "--frozen", "--quiet", "--all-packages", "--inexact")
    for stamp in _STAMPS:
        if (path := _bin().parent / stamp).exists():
            path.touch()


def derive(root: Path, service: str, derived: frozenset[Derived] = EVERYTHING) -> None:
    """Write what follows from a change of a service: lists, pages, documents and tables.

    Raises ScaffoldError where a tool fails.
    """
    with ThreadPoolExecutor(max_workers=len(Derived)) as pool:
        steps = [_STEPS[step] for step in Derived if step in derived]
        for done in [pool.submit(step, root, service) for step in steps]:
            done.result()


def _derive_pages(root: Path, _: str) -> None:
    options = [option for page in _PAGES for option in ("--page", page)]
    _run(root, "twelvefold", "reference", Derived.PAGES.value, *options)


def _derive_documents(root: Path, service: str) -> None:
    _run(root, "twelvefold", "openapi", Derived.DOCUMENTS.value, "--service", service)


def _derive_charts(root: Path, _: str) -> None:
    """Write the lists first: tables and schemas show them."""
    _run(root, "twelvefold", "workspace")
    _run(root, "python", "-m", "tests.charts.reference")


_STEPS: dict[Derived, Callable[[Path, str], None]] = {
    Derived.PAGES: _derive_pages,
    Derived.DOCUMENTS: _derive_documents,
    Derived.CHARTS: _derive_charts,
}


def format_source(root: Path, path: Path, text: str) -> str:
    """Return a module with its imports sorted, those without a use removed, and formatted."""
    fix = ("check", "--quiet", "--fix", "--exit-zero")
    for command in (fix, ("format", "--quiet")):
        text = _run(root, "ruff", *command, "--stdin-filename", str(path), "-", text=text)
    return text


def format_code(root: Path, paths: list[Path]) -> None:
    """Sort imports and format, as the length of names decides."""
    files = [str(path) for path in paths if path.suffix == ".py"]
    _run(root, "ruff", "format", "--quiet", *files)
    _run(root, "ruff", "check", "--quiet", "--fix", "--output-format=concise", *files)
    _run(root, "ruff", "format", "--quiet", *files)


def _run(root: Path, command: str, *arguments: str, text: str | None = None) -> str:
    """Run a tool of the environment with `text` as its input; return its output."""
    try:
        done = subprocess.run(
            [_bin() / command, *arguments],
            cwd=root,
            input=text,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ScaffoldError(
            f"{command} {' '.join(arguments[:2])} took over {_TIMEOUT:.0f} s"
        ) from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        said = lines[-1] if lines else f"exit code {done.returncode}"
        raise ScaffoldError(f"{command} {' '.join(arguments[:2])} failed: {said}")
    return done.stdout


def _bin() -> Path:
    return Path(sys.executable).parent
