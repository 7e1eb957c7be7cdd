"""The alert rules of the charts, and promtool, which tests them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHARTS = sorted(path.parents[1].name for path in ROOT.glob("charts/*/files/rules"))


def rule_files(chart: str) -> list[Path]:
    return sorted((ROOT / "charts" / chart / "files/rules").glob("*.yaml"))


def rules(chart: str) -> list[dict[str, Any]]:
    """Return every rule of a chart, recording rules included."""
    chart_rules = []
    for path in rule_files(chart):
        for group in yaml.safe_load(path.read_text())["groups"]:
            chart_rules += group["rules"]
    return chart_rules


def promtool() -> str | None:
    """Return promtool's path: as installed by `make promtool`, or on the PATH."""
    own = ROOT / ".venv/bin/promtool"
    return str(own) if own.exists() else shutil.which("promtool")


def run(command: str | None, *arguments: str) -> str:
    """Return the output of promtool. Raises AssertionError with it if promtool fails."""
    assert command is not None
    process = subprocess.run(  # noqa: S603  (promtool, on files of this repository)
        [command, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout
