"""The console's process is one more on a laptop: it stays small by what it does not load."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"fastapi", "pydantic", "sqlalchemy", "redis", "rich", "typer", "uvloop", "requests"}


def test_nothing_heavy_is_loaded() -> None:
    code = "import sys, twelvefold_dev.console.__main__; print(*sys.modules)"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 (our own)
    assert set(done.stdout.split()) & HEAVY == set()
