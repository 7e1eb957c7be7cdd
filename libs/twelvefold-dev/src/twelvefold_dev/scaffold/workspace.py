"""The steps after a service was added or removed: lock, install, and everything that is derived.

Runs the tools of the checkout's environment; each is a process of its own, because this process has
the services of before.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .errors import ScaffoldError

_TIMEOUT = 600.0  # seconds for one step, also without any cache
_STAMPS = (".synced", ".synced-delivery")  # of the Makefile


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


def derive(root: Path) -> None:
    """Write every list, page, document and table that follows from the services."""
    with ThreadPoolExecutor(max_workers=3) as pool:
        for done in (
            pool.submit(_run, root, "twelvefold", "reference", "docs/reference"),
            pool.submit(_run, root, "twelvefold", "openapi", "docs/api"),
            pool.submit(_derive_charts, root),
        ):
            done.result()


def _derive_charts(root: Path) -> None:
    """Write the lists first: tables and schemas show them."""
    _run(root, "twelvefold", "workspace")
    _run(root, "python", "-m", "tests.charts.reference")


def format_code(root: Path, paths: list[Path]) -> None:
    """Sort imports and format, as the length of names decides."""
    files = [str(path) for path in paths if path.suffix == ".py"]
    _run(root, "ruff", "format", "--quiet", *files)
    _run(root, "ruff", "check", "--quiet", "--fix", "--output-format=concise", *files)
    _run(root, "ruff", "format", "--quiet", *files)


def _run(root: Path, command: str, *arguments: str) -> None:
    try:
        done = subprocess.run(
            [_bin() / command, *arguments],
            cwd=root,
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


def _bin() -> Path:
    return Path(sys.executable).parent
