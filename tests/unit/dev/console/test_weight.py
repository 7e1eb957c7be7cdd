"""The memory of the console's process, which stays small by the packages it does not load."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"fastapi", "pydantic", "sqlalchemy", "redis", "rich", "typer", "uvloop", "requests"}


def test_no_heavy_package_is_loaded() -> None:
    code = "import sys, twelvefold_dev.console.__main__; print(*sys.modules)"
    command = [sys.executable, "-P", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 (a fixed command)
    assert set(result.stdout.split()) & HEAVY == set()
