"""Commands that write or run parts of this repository: `reference` and `backing`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from twelvefold.settings.command_line import fail, load_or_fail
from twelvefold_dev.servers.backing import BackingKind
from twelvefold_dev.terminal.failures import report_failures


def backing(
    server: Annotated[BackingKind, typer.Argument(help="The server to run.", show_default=False)],
) -> None:
    """Run one server of the stack in the foreground, for the pods of a development cluster.

    Requires ENVIRONMENT=development. Listens on BACKING_HOST (0.0.0.0) and BACKING_PORT (5432,
    6379, 8333, 1025) and keeps its data under BACKING_DATA (/data). PostgreSQL and Redis read
    BACKING_PASSWORD; S3 reads BACKING_S3_ACCESS_KEY_ID, BACKING_S3_SECRET_ACCESS_KEY and
    BACKING_S3_BUCKET (twelvefold). NAME_FILE may name a file that holds the value of NAME.
    """
    from twelvefold_dev.servers.backing import create_server, serve, settings_class

    settings = load_or_fail(settings_class(server))
    with report_failures():
        running = create_server(server, settings)
        asyncio.run(serve(running, lambda: typer.echo(f"{server}: ready")))


def reference(
    directory: Annotated[Path, typer.Argument(help="Folder of the pages.")],
    check: Annotated[bool, typer.Option(help="Only report what is out of date; exit 1.")] = False,
    page: Annotated[
        list[str] | None, typer.Option(help="Only this page, e.g. settings.md; may be repeated.")
    ] = None,
) -> None:
    """Write the reference pages of settings, commands, problem types, metrics and the library."""
    from . import reference as pages

    unknown = set(page or ()) - set(pages.PAGES)
    if unknown:
        fail(f"no page {', '.join(sorted(unknown))}: choose from {', '.join(pages.PAGES)}")
    stale = pages.write(directory, page or list(pages.PAGES), check=check)
    if stale and check:
        fail(f"out of date: {', '.join(stale)}: run make docs")
    typer.echo(f"{directory}: {'wrote ' + ', '.join(stale) if stale else 'up to date'}")
