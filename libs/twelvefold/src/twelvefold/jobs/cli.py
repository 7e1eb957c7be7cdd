"""`twelvefold jobs`: list, inspect, retry and discard jobs. For operators.

Reads DATABASE_URL of the worker's own role: only that role may read payloads and error histories.
On a developer's machine the running suite provides it.
Commands import drivers when they run, because every start of `twelvefold` loads this module.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from twelvefold.contracts.terminal import escape_unprintable
from twelvefold.errors import Conflict, NotFound
from twelvefold.settings import PostgresSettings
from twelvefold.settings.command_line import load_or_fail, run_async

from .model import JobRecord, JobStatus

if TYPE_CHECKING:
    from twelvefold.database.database import Database

R = TypeVar("R")

app = typer.Typer(no_args_is_help=True, help="Durable jobs: list, show, retry, discard.")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# In the order in which they give way to a narrow terminal, the last one first.
_COLUMNS = ("id", "status", "kind", "attempts", "created_at", "progress", "crashes")
_MIN_ERROR_WIDTH = 20  # characters, below which the column of errors is left out
_GAP = 2  # characters between two columns
_MAX_WIDTH = 10_000  # characters of a line in a pipe
_COLORS = {
    JobStatus.SUCCEEDED: "green",
    JobStatus.RUNNING: "cyan",
    JobStatus.FAILED: "yellow",
    JobStatus.REJECTED: "yellow",
    JobStatus.DEAD: "red",
}
_SELECT_ROW = "SELECT to_jsonb(j) AS job FROM jobs.jobs AS j WHERE id = :id"


def _with_database(work: Callable[["Database"], Awaitable[R]]) -> R:
    from twelvefold.database.database import Database

    settings = load_or_fail(PostgresSettings, "worker")

    async def main() -> R:
        database = Database(settings, application_name="twelvefold-jobs-cli")
        try:
            return await work(database)
        finally:
            await database.aclose()

    result: R = run_async(main)
    return result


@app.command("list")
def list_jobs(
    status: Annotated[JobStatus | None, typer.Option(help="Only jobs in this state.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only jobs of this kind.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Maximum number of jobs.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs."""

    async def work(database: "Database") -> list[JobRecord]:
        from .queue import JobQueue

        async with database.read() as reader:
            return list(
                await JobQueue(database).list(reader, status=status, kind=kind, limit=limit)
            )

    records = _with_database(work)
    if as_json:
        typer.echo(json.dumps([_to_json(record) for record in records], indent=2))
        return
    console = Console()
    width = console.width if console.is_terminal else _MAX_WIDTH
    Console(width=width).print(_build_table(records, width))


def _build_table(records: Sequence[JobRecord], width: int) -> Table:
    """Return the jobs as a table of at most `width` characters.

    Ids and states are never cut. What has no room is left out, and `show` has it.
    """
    rows = [{column: _format_cell(record, column) for column in _COLUMNS} for record in records]
    widths = {name: max(len(name), *(len(row[name]) for row in rows), 0) for name in _COLUMNS}
    shown: list[str] = []
    rest = width
    for column in _COLUMNS:
        if shown and rest < widths[column]:
            break
        shown.append(column)
        rest -= widths[column] + _GAP
    has_errors = any(record.error for record in records) and rest >= _MIN_ERROR_WIDTH
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    for column in shown:
        table.add_column(column, no_wrap=True, min_width=widths[column])
    if has_errors:
        table.add_column("error", no_wrap=True, overflow="ellipsis", max_width=rest)
    for record, row in zip(records, rows, strict=True):
        cells = [
            Text(row[column], _COLORS.get(record.status, ""))
            if column == "status"
            else Text(row[column])
            for column in shown
        ]
        error = [Text(escape_unprintable(record.error or ""))] if has_errors else []
        table.add_row(*cells, *error)
    return table


@app.command()
def show(job_id: UUID, as_json: AsJson = False) -> None:
    """Show one job with its payload and its last errors."""

    async def work(database: "Database") -> dict[str, Any]:
        from sqlalchemy import text

        async with database.read() as reader:
            value = await reader.scalar(text(_SELECT_ROW), {"id": job_id})
        if value is None:
            raise NotFound(f"no job {job_id}")
        row: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
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
            content = json.dumps(value) if isinstance(value, (dict, list)) else str(value)
            table.add_row(name, escape(escape_unprintable(content)))
    for entry in errors:
        line = f"{entry['at']}  claim {entry['claim_no']}: {entry['error']}"
        table.add_row("error", escape(escape_unprintable(line, keep_lines=True)))
    Console().print(table, soft_wrap=True)


@app.command()
def retry(
    job_ids: Annotated[
        list[UUID], typer.Argument(help="Failed, dead, rejected or cancelled jobs.")
    ],
    as_json: AsJson = False,
) -> None:
    """Run failed jobs now, and restart jobs that ended without success."""

    async def work(database: "Database") -> list[JobRecord]:
        from .queue import JobQueue

        # All of them or none. A worker sends the wake-ups within a second.
        async with database.transaction() as transaction:
            return [await JobQueue(database).retry(transaction, job_id) for job_id in job_ids]

    records = _with_database(work)
    if as_json:
        typer.echo(json.dumps([_to_json(record) for record in records], indent=2))
        return
    for record in records:
        typer.echo(f"{record.id} {record.kind}: {record.status}")


@app.command()
def discard(
    job_ids: Annotated[list[UUID], typer.Argument(help="Dead jobs that need no retry.")],
) -> None:
    """Cancel dead jobs: the alert ends, and they are deleted in time like other ended jobs."""

    async def work(database: "Database") -> None:
        from .retention import discard_dead_jobs

        # All of them or none.
        async with database.transaction() as transaction:
            discarded = await discard_dead_jobs(transaction, job_ids)
            if missing := [str(job_id) for job_id in job_ids if job_id not in discarded]:
                raise Conflict(f"not dead: {', '.join(missing)}")

    _with_database(work)
    for job_id in job_ids:
        typer.echo(f"{job_id}: discarded")


def _to_json(record: JobRecord) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(json.dumps(asdict(record), default=_encode_value))
    return fields


def _encode_value(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _format_cell(record: JobRecord, column: str) -> str:
    value = getattr(record, column)
    if column == "attempts":
        return f"{value}/{record.max_attempts}"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return f"{value} %" if column == "progress" else escape_unprintable(str(value))
