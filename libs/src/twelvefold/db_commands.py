"""`twelvefold db`: roles and schemas, made once and migrated by each release. One-off processes."""

from typing import TYPE_CHECKING, Annotated

import typer

from .cli import USAGE_ERROR, ServiceName, fail, load_or_fail, run_async, schemas, service_named
from .settings import BootstrapSettings, MigrationSettings

if TYPE_CHECKING:
    from .migrations import Migrations

app = typer.Typer(no_args_is_help=True, help="Schemas: bootstrap, migrate.")


def _migrations(name: str | None) -> "Migrations":
    service = service_named(name)
    if service.migrations is None:
        fail(f"{service.name} has no schema", USAGE_ERROR)
    migrations: Migrations = service.migrations
    return migrations


@app.command()
def migrate(
    service: ServiceName = None,
    revision: Annotated[str, typer.Option(help="Revision to reach.")] = "head",
) -> None:
    """Migrates one service's schema as its owner (MIGRATION_DATABASE_URL); waits for its turn."""
    from .migrations import upgrade

    migrations = _migrations(service)
    url = load_or_fail(MigrationSettings).migration_database_url.get_secret_value()
    before, applied = run_async(lambda: upgrade(migrations, url, revision=revision))
    if applied:
        typer.echo(f"{migrations.schema}: {before or 'empty'} -> {applied[-1]}")
    else:
        typer.echo(f"{migrations.schema}: already at {before}")


@app.command()
def bootstrap() -> None:
    """Creates schemas, roles and grants of every installed service; safe to repeat.

    Reads BOOTSTRAP_DATABASE_URL (a role that may create roles) and BOOTSTRAP_ROLE_PASSWORDS. Roles
    that are there keep their password unless it names another one; SERVICE_app_b may log in beside
    SERVICE_app, for a rotation (docs/deploy.md).
    """
    from .migrations import bootstrap as create

    settings = load_or_fail(BootstrapSettings)
    url = settings.bootstrap_database_url.get_secret_value()
    found = schemas()
    given = run_async(lambda: create(url, found, settings.passwords))
    typer.echo(f"passwords of: {', '.join(given) or 'nobody'}")
    typer.echo(f"ready: {', '.join(entry.schema for entry in found)}")
