"""`twelvefold jobs`: what is queued, what went wrong, and another try. For operators.

Reads DATABASE_URL of the worker's own role: nobody else may see payloads and whole histories.
Drivers are imported when a command runs, since every start of `twelvefold` loads this module.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from twelvefold.contracts.terminal import escape_unprintable
from twelvefold.errors import Conflict, NotFound
from twelvefold.settings import PostgresSettings
from twelvefold.settings.command_line import load_or_fail, run_async

from .model import JobRecord, JobStatus

if TYPE_CHECKING:
    from twelvefold.database.database import Database

R = TypeVar("R")

app = typer.Typer(no_args_is_help=True, help="Durable jobs: list, show, retry, discard.")
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]

_SHOWN = ("id", "kind", "status", "attempts", "crashes", "progress", "created_at", "error")
_COLORS = {
    JobStatus.SUCCEEDED: "green",
    JobStatus.RUNNING: "cyan",
    JobStatus.FAILED: "yellow",
    JobStatus.REJECTED: "yellow",
    JobStatus.DEAD: "red",
}
_ROW = "SELECT to_jsonb(j) AS job FROM jobs.jobs AS j WHERE id = :id"


def _with_database(work: Callable[["Database"], Awaitable[R]]) -> R:
    from twelvefold.database.database import Database

    settings = load_or_fail(PostgresSettings)

    async def main() -> R:
        database = Database(settings, application_name="twelvefold-jobs-cli")
        try:
            return await work(database)
        finally:
            await database.aclose()

    found: R = run_async(main)
    return found


@app.command("list")
def list_jobs(
    status: Annotated[JobStatus | None, typer.Option(help="Only in this state.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only of this kind.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest jobs."""

    async def work(database: "Database") -> list[JobRecord]:
        from .queue import JobQueue

        async with database.read() as reader:
            found = await JobQueue(database).list(reader, status=status, kind=kind, limit=limit)
            return list(found)

    records = _with_database(work)
    if as_json:
        typer.echo(json.dumps([_plain(record) for record in records], indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in _SHOWN:
        table.add_column(column, no_wrap=column != "error")
    for record in records:
        table.add_row(*(_cell(record, column) for column in _SHOWN))
    Console().print(table)


@app.command()
def show(job_id: UUID, as_json: AsJson = False) -> None:
    """Everything about one job, its payload and its last errors included."""

    async def work(database: "Database") -> dict[str, Any]:
        from sqlalchemy import text

        async with database.read() as reader:
            found = await reader.scalar(text(_ROW), {"id": job_id})
        if found is None:
            raise NotFound(f"no job {job_id}")
        row: dict[str, Any] = json.loads(found) if isinstance(found, str) else found
        return row

    row = _with_database(work)
    if as_json:
        typer.echo(json.dumps(row, indent=2))
        return
    errors = row.pop("errors", [])
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in row.items():
        if value is not None:
            shown = json.dumps(value) if isinstance(value, (dict, list)) else str(value)
            table.add_row(name, escape(escape_unprintable(shown)))
    for entry in errors:
        output = f"{entry['at']}  claim {entry['claim_no']}: {entry['error']}"
        table.add_row("error", escape(escape_unprintable(output, keep_lines=True)))
    Console().print(table, soft_wrap=True)


@app.command()
def retry(
    job_ids: Annotated[
        list[UUID], typer.Argument(help="Jobs that failed, died or were cancelled.")
    ],
    as_json: AsJson = False,
) -> None:
    """Runs jobs again: a failed one now, one that has ended from the start."""

    async def work(database: "Database") -> list[JobRecord]:
        from .queue import JobQueue

        # All of them or none; the dispatcher rings within a second.
        async with database.transaction() as transaction:
            return [await JobQueue(database).retry(transaction, job_id) for job_id in job_ids]

    records = _with_database(work)
    if as_json:
        typer.echo(json.dumps([_plain(record) for record in records], indent=2))
        return
    for record in records:
        typer.echo(f"{record.id} {record.kind}: {record.status}")


@app.command()
def discard(
    job_ids: Annotated[list[UUID], typer.Argument(help="Dead jobs that nobody is to retry.")],
) -> None:
    """Settles dead jobs: they stop the alert and go in time, like others that ended."""

    async def work(database: "Database") -> None:
        from .retention import discard_dead_jobs

        # All of them or none.
        async with database.transaction() as transaction:
            done = await discard_dead_jobs(transaction, job_ids)
            if missing := [str(job_id) for job_id in job_ids if job_id not in done]:
                raise Conflict(f"not dead: {', '.join(missing)}")

    _with_database(work)
    for job_id in job_ids:
        typer.echo(f"{job_id}: discarded")


def _plain(record: JobRecord) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(record), default=_text))
    return plain


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cell(record: JobRecord, column: str) -> str:
    value = getattr(record, column)
    if column == "status":
        color = _COLORS.get(value)
        return f"[{color}]{value}[/]" if color else escape(str(value))
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if column == "progress":
        return f"{value} %"
    # An error may hold brackets, which would be markup.
    return "" if value is None else escape(escape_unprintable(str(value)))
