"""The commands of operators: rollout, backup and restore.

Merged into the top of `twelvefold` by the entry point `ops`, where the extra is installed. Each
reads its settings from the environment, as every process does.
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
app.command()(rollout)
Location = Annotated[str, typer.Argument(help="A directory, or s3://bucket/prefix.")]
Objects = Annotated[bool, typer.Option(help="Whether to look at the objects in S3 at all.")]


def _s3(location: str, *, objects: bool) -> tuple[Archive, ObjectStore | None]:
    """Where the backup lies, and the bucket of the suite."""
    from twelvefold.storage.object_store import S3ObjectStore

    from .archive import open_archive

    named = "S3_BUCKET" in process_environment()
    settings = load_or_fail(ObjectStoreSettings) if objects or named else None
    try:
        archive = open_archive(location, settings)
    except ValueError as error:
        fail(str(error), USAGE_ERROR)
    return archive, S3ObjectStore(settings) if objects and settings else None


@asynccontextmanager
async def _closing(*opened: Archive | ObjectStore | None) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for one in opened:
            if one is not None:
                stack.push_async_callback(one.aclose)
        yield


def _report(text: str) -> None:
    typer.echo(text)
    sys.stdout.flush()


@app.command()
def backup(
    location: Location,
    objects: Objects = True,
    copy: Annotated[
        bool, typer.Option(help="Copies the objects, too; without, the bucket must outlive us.")
    ] = False,
) -> None:
    """Backs up the database as of one moment, with a list or a copy of the objects in S3.

    Reads BACKUP_DATABASE_URL and S3_…; safe while the suite runs.
    """
    from .backup import create_backup

    settings = load_or_fail(BackupSettings)
    archive, store = _s3(location, objects=objects or copy)

    async def main() -> None:
        async with _closing(archive, store):
            made = await create_backup(
                settings.backup_database_url.get_secret_value(),
                installed_migrations(),
                archive,
                version=settings.service_version,
                store=store,
                copy_objects=copy,
                report=_report,
            )
        if made.missing:
            _report(f"{len(made.missing)} objects were deleted while they were copied")
        _report(f"backed up to {location}")

    run_async(main)


@app.command()
def restore(
    location: Location,
    objects: Objects = True,
    replace: Annotated[
        bool, typer.Option(help="Deletes what the database holds of the suite first.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Restores a backup; end every process of the suite first.

    Reads BOOTSTRAP_DATABASE_URL, BOOTSTRAP_ROLE_PASSWORDS and S3_….
    """
    from .restore import restore as bring_back

    settings = load_or_fail(BootstrapSettings)
    archive, store = _s3(location, objects=objects)
    if replace and not yes:
        typer.confirm("Delete every account, image and job that the database holds?", abort=True)

    async def main() -> None:
        async with _closing(archive, store):
            await bring_back(
                settings.bootstrap_database_url.get_secret_value(),
                installed_migrations(),
                archive,
                passwords=settings.passwords,
                store=store,
                replace=replace,
                report=_report,
            )
        _report(f"restored from {location}: start the suite")

    run_async(main)
