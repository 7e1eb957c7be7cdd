"""The commands of operators: rollout, backup and restore.

Merged into the top of `twelvefold` by the entry point `ops`, where the extra is installed. Each
reads its settings from the environment, as every process does.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from twelvefold.cli import USAGE_ERROR, fail, load_or_fail, run_async, services
from twelvefold.settings import (
    BackupSettings,
    BootstrapSettings,
    ObjectStoreSettings,
    process_environment,
)

from .rollout.command import rollout

if TYPE_CHECKING:
    from twelvefold.object_store import ObjectStore
    from twelvefold.revisions import Migrations

    from .archive import Archive

app = typer.Typer()
app.command()(rollout)
Location = Annotated[str, typer.Argument(help="A directory, or s3://bucket/prefix.")]
Objects = Annotated[bool, typer.Option(help="Whether to look at the objects in S3 at all.")]


def _schemas() -> list[Migrations]:
    return [service.migrations for service in services().values() if service.migrations]


def _s3(location: str, *, objects: bool) -> tuple[Archive, ObjectStore | None]:
    """Where the backup lies, and the bucket of the suite."""
    from twelvefold.object_store import S3ObjectStore

    from .archive import archive_of

    named = "S3_BUCKET" in process_environment()
    settings = load_or_fail(ObjectStoreSettings) if objects or named else None
    try:
        archive = archive_of(location, settings)
    except ValueError as error:
        fail(str(error), USAGE_ERROR)
    return archive, S3ObjectStore(settings) if objects and settings else None


def _told(text: str) -> None:
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
    from .backup import back_up

    settings = load_or_fail(BackupSettings)
    archive, store = _s3(location, objects=objects or copy)

    async def main() -> None:
        try:
            made = await back_up(
                settings.backup_database_url.get_secret_value(),
                _schemas(),
                archive,
                version=settings.service_version,
                store=store,
                copy_objects=copy,
                told=_told,
            )
        finally:
            await archive.aclose()
            if store is not None:
                await store.aclose()
        if made.missing:
            _told(f"{len(made.missing)} objects were deleted while they were copied")
        _told(f"backed up to {location}")

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
    passwords = {
        role: password.get_secret_value()
        for role, password in settings.bootstrap_role_passwords.items()
    }

    async def main() -> None:
        try:
            await bring_back(
                settings.bootstrap_database_url.get_secret_value(),
                _schemas(),
                archive,
                passwords=passwords,
                store=store,
                replace=replace,
                told=_told,
            )
        finally:
            await archive.aclose()
            if store is not None:
                await store.aclose()
        _told(f"restored from {location}: start the suite")

    run_async(main)
