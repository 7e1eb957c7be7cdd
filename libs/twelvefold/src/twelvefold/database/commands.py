"""`twelvefold db`: create roles and schemas once, migrate them with each release."""

from typing import Annotated

import typer

from twelvefold.settings import BootstrapSettings, MigrationSettings
from twelvefold.settings.command_line import USAGE_ERROR, ServiceName, fail, load_or_fail, run_async

from .revisions import Migrations, installed_migrations, migrations_by_service

app = typer.Typer(no_args_is_help=True, help="Schemas: bootstrap, migrate.")


def _migrations(name: str | None) -> Migrations:
    """Return the migrations of the named service, or of the only one installed."""
    installed = migrations_by_service()
    if name is None and len(installed) == 1:
        return next(iter(installed.values()))
    if name is None or name not in installed:
        fail(f"name one of the installed services: {', '.join(sorted(installed))}", USAGE_ERROR)
    return installed[name]


@app.command()
def migrate(
    service: ServiceName = None,
    revision: Annotated[str, typer.Option(help="Revision to reach.")] = "head",
) -> None:
    """Migrate one service's schema as its owner (MIGRATION_DATABASE_URL), one process at a time."""
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
    """Create schemas, roles and grants of every installed service; safe to repeat.

    Reads BOOTSTRAP_DATABASE_URL (a role that may create roles) and BOOTSTRAP_ROLE_PASSWORDS. An
    existing role keeps its password unless a new one is given. SERVICE_app_b may log in beside
    SERVICE_app while a password is rotated (docs/guides/deploy.md).
    """
    from .migrations import bootstrap as create

    settings = load_or_fail(BootstrapSettings)
    url = settings.bootstrap_database_url.get_secret_value()
    schemas = installed_migrations()
    roles = run_async(lambda: create(url, schemas, settings.passwords))
    typer.echo(f"passwords set: {', '.join(roles) or 'none'}")
    typer.echo(f"schemas ready: {', '.join(entry.schema for entry in schemas)}")
