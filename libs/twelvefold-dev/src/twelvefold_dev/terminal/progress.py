"""Progress of a start in the terminal: processes awaited, processes running, the final summary."""

from __future__ import annotations

import time
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from twelvefold.contracts.terminal import escape_unprintable
from twelvefold_dev.servers.server import strip_password
from twelvefold_dev.supervisor.control import Message


class Progress:
    """Prints the startup messages, from this process or from the control socket."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._waiting: dict[str, float] = {}
        self._status = console.status("Starting")
        self._outcome_only = False
        self.outcome: str | None = None  # "ready" or "failed"

    def outcome_only(self) -> Self:
        """Print no single steps from now on, and return itself."""
        self._outcome_only = True
        return self

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def take(self, message: Message) -> None:
        """Print one message; see `startup_events` for its kinds."""
        kind = message.get("kind")
        if kind == "starting":
            self._waiting[message["name"]] = time.monotonic()
        elif kind == "up":
            self._waiting.pop(message["name"], None)
            seconds = f"[dim]{message['seconds']:5.1f} s[/dim]"
            if not self._outcome_only:
                self._console.print(
                    f"[green]✓[/green] {message['name']:<10} {seconds}", highlight=False
                )
        elif kind == "notice":
            self._console.print(
                f"[yellow]![/yellow] {escape(escape_unprintable(message['text']))}", soft_wrap=True
            )
        elif kind == "failed":
            self._end("failed")
            self._console.print(
                f"[red]✗ {escape(escape_unprintable(message['text'], keep_lines=True))}[/red]",
                soft_wrap=True,
            )
            for line in message["tail"]:
                self._console.print(
                    f"  {escape_unprintable(line)}", markup=False, highlight=False, soft_wrap=True
                )
        elif kind == "ready":
            self._end("ready")
            self._console.print(summary(message), highlight=False)
        if self._waiting:
            self._status.update(f"Waiting for {', '.join(self._waiting)}")

    def _end(self, outcome: str) -> None:
        self.outcome = outcome
        self._status.stop()


def summary(message: Message) -> Table:
    """Return the addresses of a running stack as a table, from a message of kind ready."""
    endpoints: dict[str, Any] = message["endpoints"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, url in endpoints["public"].items():
        table.add_row(name, url)
    table.add_row("docs", f"{endpoints['api']}/docs")
    if link := message.get("console"):
        table.add_row("console", link)
    table.add_row("mail", message["mail_folder"])
    for name in ("postgres", "redis", "s3"):
        table.add_row(name, strip_password(endpoints[name]))
    table.add_row("all URLs", message["endpoints_file"])
    if demo := message.get("demo"):
        table.add_row("demo", f"{demo['email']}  password {demo['password']}")
        table.add_row("admin", f"`twelvefold users create-admin {demo['email']}` makes it an admin")
    seconds = f"ready in {message['seconds']:.1f} s"
    table.add_row("", f"[dim]{seconds}; Ctrl-C or `make down` stops the stack[/dim]")
    return table
