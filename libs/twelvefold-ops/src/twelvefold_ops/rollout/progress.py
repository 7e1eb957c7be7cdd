"""Shows a rollout: to a person at a terminal, in lines of text, or in lines of JSON for a pipeline.

Owns how events look. Each of the three takes every event in order and is closed at the end.
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

_QUIET = 15.0  # seconds between two lines of figures where nobody looks


def _plain(event: Event) -> str:
    """Its text; the words of a pod that failed are its own, and those of who called it."""
    return escape_unprintable(event.text, keep_lines=True)


class Progress(Protocol):
    """Takes what happens."""

    def take(self, event: Event) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """One object a line: `at`, `kind`, `text`, and the event's facts."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def take(self, event: Event) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        told = {"at": at, "kind": event.kind, "text": event.text, **event.facts}
        _write(self._out, json.dumps(told) + "\n")

    def close(self) -> None:
        """Nothing is kept."""


class Lines:
    """A line for each event, with the time; figures now and then."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown = 0.0

    def take(self, event: Event) -> None:
        text = event.text
        if event.kind == "figures":
            decided = event.facts["judgement"] != "open"
            if not decided and time.monotonic() - self._shown < _QUIET:
                return
            self._shown = time.monotonic()
            text = f"{_sentence('new', event.facts['new'])}; {_sentence('old', event.facts['old'])}"
            text += f": {event.text}"
        for number, line in enumerate(text.splitlines()):
            start = f"{datetime.now(UTC):%H:%M:%S}" if not number else " " * 8
            mark = "- " if event.kind == "stage" else "  "
            _write(self._out, f"{start}  {mark}{line}\n")

    def close(self) -> None:
        """Nothing is kept."""


class Screen:
    """For a terminal: what is done, what is being done, and both versions' figures beside it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage: str | None = None
        self._began = time.monotonic()
        self._note = ""
        self._figures: Mapping[str, Any] | None = None
        self._live = Live(get_renderable=self._shown, console=console, refresh_per_second=4)
        self._live.start()

    def take(self, event: Event) -> None:
        if event.kind == "stage":
            self._finish("green", "✓")
            self._stage, self._began = event.text, time.monotonic()
            self._note, self._figures = "", None
        elif event.kind in {"pods", "note"}:
            self._note = event.text
        elif event.kind == "figures":
            self._note, self._figures = event.text, event.facts
        elif event.kind == "words":
            self._console.print(Text(_plain(event), style="dim"))
        elif event.kind == "ended":
            good = event.facts["exit_code"] == 0
            self._finish(*(("green", "✓") if good else ("yellow", "↩")))
            self._stage = None
            style = "bold green" if good else "bold red"
            self._console.print(Text(_plain(event), style=style))
        else:
            self._console.print(escape(_plain(event)))
        self._live.refresh()

    def close(self) -> None:
        """Leaves the terminal as it was."""
        self._live.stop()

    def _finish(self, style: str, mark: str) -> None:
        if self._stage is not None:
            seconds = f"[dim]{time.monotonic() - self._began:6.1f} s[/dim]"
            self._console.print(
                f"[{style}]{mark}[/{style}] {seconds}  {escape(self._stage)}", highlight=False
            )

    def _shown(self) -> Group:
        if self._stage is None:
            return Group()
        seconds = f"{time.monotonic() - self._began:6.1f} s"
        parts: list[Any] = [Text(f"● {seconds}  {self._stage}")]
        if self._figures:
            bar = ProgressBar(self._figures["of"], self._figures["seconds"], width=40)
            parts += [bar, _table(self._figures)]
        if self._note:
            parts.append(Text(f"  {self._note}", style="dim"))
        return Group(*parts)


def _write(out: TextIO, text: str) -> None:
    """Whoever reads may go (`| head`, a closed pipeline): that does not end what is under way."""
    try:
        out.write(text)
        out.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, out.fileno())  # as docs.python.org/3/library/signal.html#note-on-sigpipe
        os.close(nowhere)


def _table(facts: Mapping[str, Any]) -> Table:
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


def _sentence(version: str, figures: Mapping[str, Any]) -> str:
    if figures["runs"] and not figures["requests"]:
        return f"{version} {figures['runs']} jobs, {figures['failed_runs']} failed"
    p99 = "" if figures["p99"] is None else f", p99 {figures['p99'] * 1000:.0f} ms"
    errors = f"{figures['error_ratio']:.2%} errors"
    return f"{version} {figures['requests']} requests, {errors}{p99}"
