"""The alert rules as they ship, and promtool, which judges them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHARTS = ("api", "users", "worker", "platform")


def rule_files(chart: str) -> list[Path]:
    return sorted((ROOT / "charts" / chart / "files/rules").glob("*.yaml"))


def rules(chart: str) -> list[dict[str, Any]]:
    """Every rule of a chart, recording rules included."""
    found = []
    for path in rule_files(chart):
        for group in yaml.safe_load(path.read_text())["groups"]:
            found += group["rules"]
    return found


def promtool() -> str | None:
    """On the PATH, or where `make promtool` has put it."""
    own = ROOT / ".venv/bin/promtool"
    return str(own) if own.exists() else shutil.which("promtool")


def run(command: str | None, *arguments: str) -> str:
    """Output of promtool. Raises AssertionError with it where it complains."""
    assert command is not None
    done = subprocess.run(  # noqa: S603  (promtool, and files of ours)
        [command, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
