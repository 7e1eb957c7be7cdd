"""The operators' commands: rollout, backup and restore.

The entry point `ops` adds them to the top level of `twelvefold` where this distribution is
installed. Each command reads its settings from the environment.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from twelvefold.database.revisions import installed_migrations
from twelvefold.settings import (
    BackupSettings,
    BootstrapSettings,
    ObjectStoreSettings,
    process_environment,
)
from twelvefold.settings.command_line import USAGE_ERROR, fail, load_or_fail, run_async
from twelvefold_ops.rollout.command import rollout

if TYPE_CHECKING:
    from twelvefold.storage.object_store import ObjectStore

    from .archive import Archive

app = typer.Typer()
_OPERATORS = "For operators"  # a panel of --help
app.command(rich_help_panel=_OPERATORS)(rollout)
_PROCESS = "operator"  # whose settings a running suite provides on a laptop
Location = Annotated[str, typer.Argument(help="A directory, or s3://bucket/prefix.")]
Objects = Annotated[bool, typer.Option(help="Include the objects in S3.")]


def _open_stores(location: str, *, objects: bool) -> tuple[Archive, ObjectStore | None]:
    """Return the backup's archive, and the suite's bucket if `objects`. Exits on bad settings."""
    from twelvefold.storage.object_store import S3ObjectStore

    from .archive import open_archive

    is_configured = "S3_BUCKET" in process_environment()
    settings = load_or_fail(ObjectStoreSettings, _PROCESS) if objects or is_configured else None
    try:
        archive = open_archive(location, settings)
    except ValueError as error:
        fail(str(error), USAGE_ERROR)
    return archive, S3ObjectStore(settings) if objects and settings else None


@asynccontextmanager
async def _close_all(*resources: Archive | ObjectStore | None) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for resource in resources:
            if resource is not None:
                stack.push_async_callback(resource.aclose)
        yield


def _report(text: str) -> None:
    typer.echo(text)
    sys.stdout.flush()


@app.command(rich_help_panel=_OPERATORS)
def backup(
    location: Location,
    objects: Objects = True,
    copy: Annotated[
        bool, typer.Option(help="Copy the objects too; otherwise only list them.")
    ] = False,
) -> None:
    """Back up one snapshot of the database, with a list or a copy of the objects in S3.

    Reads BACKUP_DATABASE_URL and the S3_* settings. Safe while the suite runs.
    """
    from .backup import create_backup

    settings = load_or_fail(BackupSettings, _PROCESS)
    archive, store = _open_stores(location, objects=objects or copy)

    async def main() -> None:
        async with _close_all(archive, store):
            manifest = await create_backup(
                settings.backup_database_url.get_secret_value(),
                installed_migrations(),
                archive,
                version=settings.service_version,
                store=store,
                copy_objects=copy,
                report=_report,
            )
        if manifest.missing:
            _report(f"{len(manifest.missing)} objects were deleted while they were copied")
        _report(f"backed up to {location}")

    run_async(main)


@app.command(rich_help_panel=_OPERATORS)
def restore(
    location: Location,
    objects: Objects = True,
    replace: Annotated[
        bool, typer.Option(help="Delete the suite's data in the database first.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Restore a backup. Stop every process of the suite first.

    Reads BOOTSTRAP_DATABASE_URL, BOOTSTRAP_ROLE_PASSWORDS and the S3_* settings.
    """
    from .restore import restore_backup

    settings = load_or_fail(BootstrapSettings, _PROCESS)
    archive, store = _open_stores(location, objects=objects)
    if replace and not yes:
        typer.confirm("Delete every account, image and job in the database?", abort=True)

    async def main() -> None:
        async with _close_all(archive, store):
            await restore_backup(
                settings.bootstrap_database_url.get_secret_value(),
                installed_migrations(),
                archive,
                passwords=settings.passwords,
                store=store,
                replace=replace,
                report=_report,
            )
        _report(f"restored from {location}: the suite can be started")

    run_async(main)
