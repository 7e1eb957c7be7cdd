"""The table of `ps`, with one line per process, or the same as JSON."""

from __future__ import annotations

import json
from typing import Any

import typer


def show(processes: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print the rows that the supervisor reports for `ps`."""
    if as_json:
        typer.echo(json.dumps(processes, indent=2))
        return
    headings = ("NAME", "PID", "STATE", "UP", "REQUESTS", "ERRORS", "RSS", "PSS", "URL")
    table = [headings, *(_cells(process) for process in processes)]
    total = sum(process["pss_bytes"] or 0 for process in processes)
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    for row in table:
        # A table of rich would cut long URLs in a pipe.
        typer.echo("  ".join(_align(row, widths)).rstrip())
    if total:
        typer.echo(f"total: {_megabytes(total)} PSS (a page shared by n processes counts as 1/n)")


_LEFT = frozenset({0, 2, 8})  # left-aligned columns, which contain words


def _align(row: tuple[str, ...], widths: list[int]) -> list[str]:
    return [
        cell.ljust(width) if column in _LEFT else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _cells(process: dict[str, Any]) -> tuple[str, ...]:
    state = process["state"]
    if process.get("health") not in (None, "ok"):
        state = process["health"]
    restarts = f" ({process['restarts']} restarts)" if process["restarts"] else ""
    return (
        process["name"],
        _or_dash(process["pid"]),
        f"{state}{restarts}",
        _duration(process["uptime_seconds"]),
        _or_dash(process["requests"]),
        _or_dash(process["errors"]),
        _megabytes(process["rss_bytes"]),
        _megabytes(process["pss_bytes"]),
        process["url"],
    )


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)


def _megabytes(value: int | None) -> str:
    return "-" if value is None else f"{value / 1_000_000:.1f} MB"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
