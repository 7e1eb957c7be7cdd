"""Display a rollout's events on a terminal, as lines of text, or as lines of JSON.

Each display receives every event in order and is closed at the end.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from twelvefold.contracts.terminal import escape_unprintable

from .model import Event

_FIGURES_INTERVAL = 15.0  # seconds between two lines of metrics in a log


def _printable(event: Event) -> str:
    """Return the text without control characters, which logs of a pod may contain."""
    return escape_unprintable(event.text, keep_lines=True)


class Progress(Protocol):
    """Displays events."""

    def show(self, event: Event) -> None:
        """Display one event."""

    def close(self) -> None:
        """End the display."""


class JsonLines:
    """One JSON object per line: `at`, `kind`, `text`, and the event's facts."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, event: Event) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = {"at": at, "kind": event.kind, "text": event.text, **event.facts}
        _write(self._out, json.dumps(record) + "\n")

    def close(self) -> None:
        """Do nothing: every line is flushed."""


class Lines:
    """One line per event with the time; metrics every 15 seconds and at a verdict."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last_figures = 0.0

    def show(self, event: Event) -> None:
        text = event.text
        if event.kind == "figures":
            has_verdict = event.facts["judgement"] != "open"
            if not has_verdict and time.monotonic() - self._last_figures < _FIGURES_INTERVAL:
                return
            self._last_figures = time.monotonic()
            text = (
                f"{_summarize('new', event.facts['new'])}; {_summarize('old', event.facts['old'])}"
            )
            text += f": {event.text}"
        for number, line in enumerate(text.splitlines()):
            prefix = f"{datetime.now(UTC):%H:%M:%S}" if not number else " " * 8
            mark = "- " if event.kind == "stage" else "  "
            _write(self._out, f"{prefix}  {mark}{line}\n")

    def close(self) -> None:
        """Do nothing: every line is flushed."""


class Screen:
    """A terminal: finished stages, the present stage, and the metrics of both versions."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage: str | None = None
        self._stage_started = time.monotonic()
        self._note = ""
        self._figures: Mapping[str, Any] | None = None
        self._live = Live(get_renderable=self.render, console=console, refresh_per_second=4)
        self._live.start()

    def show(self, event: Event) -> None:
        if event.kind == "stage":
            self._finish_stage("green", "✓")
            self._stage, self._stage_started = event.text, time.monotonic()
            self._note, self._figures = "", None
        elif event.kind in {"pods", "note"}:
            self._note = event.text
        elif event.kind == "figures":
            self._note, self._figures = event.text, event.facts
        elif event.kind == "words":
            self._console.print(Text(_printable(event), style="dim"))
        elif event.kind == "ended":
            is_success = event.facts["exit_code"] == 0
            self._finish_stage(*(("green", "✓") if is_success else ("yellow", "↩")))
            self._stage = None
            style = "bold green" if is_success else "bold red"
            self._console.print(Text(_printable(event), style=style))
        else:
            self._console.print(escape(_printable(event)))
        self._live.refresh()

    def close(self) -> None:
        """Stop the live display."""
        self._live.stop()

    def _finish_stage(self, style: str, mark: str) -> None:
        if self._stage is not None:
            seconds = f"[dim]{time.monotonic() - self._stage_started:6.1f} s[/dim]"
            self._console.print(
                f"[{style}]{mark}[/{style}] {seconds}  {escape(self._stage)}", highlight=False
            )

    def render(self) -> Group:
        """Return the part of the display that changes: the present stage and its metrics."""
        if self._stage is None:
            return Group()
        seconds = f"{time.monotonic() - self._stage_started:6.1f} s"
        parts: list[Any] = [Text(f"● {seconds}  {self._stage}")]
        if self._figures:
            bar = ProgressBar(self._figures["of"], self._figures["seconds"], width=40)
            parts += [bar, _build_table(self._figures)]
        if self._note:
            parts.append(Text(f"  {self._note}", style="dim"))
        return Group(*parts)


def _write(out: TextIO, text: str) -> None:
    """Write and flush. Once the pipe is closed (`| head`), discard the output and go on."""
    try:
        out.write(text)
        out.flush()
    except BrokenPipeError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, out.fileno())  # as docs.python.org/3/library/signal.html#note-on-sigpipe
        os.close(null)


def _build_table(facts: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2))
    for column in ("", "requests", "errors", "p99", "jobs", "failed"):
        table.add_column(column, justify="right" if column else "left")
    for version in ("new", "old"):
        figures = facts[version]
        p99 = "" if figures["p99"] is None else f"{figures['p99'] * 1000:.0f} ms"
        table.add_row(
            version,
            f"{figures['requests']:,}",
            f"{figures['error_ratio']:.2%}" if figures["requests"] else "",
            p99,
            f"{figures['runs']:,}" if figures["runs"] else "",
            f"{figures['failed_runs']:,}" if figures["runs"] else "",
        )
    return table


def _summarize(version: str, figures: Mapping[str, Any]) -> str:
    if figures["runs"] and not figures["requests"]:
        return f"{version} {figures['runs']} jobs, {figures['failed_runs']} failed"
    p99 = "" if figures["p99"] is None else f", p99 {figures['p99'] * 1000:.0f} ms"
    errors = f"{figures['error_ratio']:.2%} errors"
    return f"{version} {figures['requests']} requests, {errors}{p99}"
