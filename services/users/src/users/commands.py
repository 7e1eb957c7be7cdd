"""`twelvefold users …`: admin tasks on accounts, run as one-off processes of the same release.

Passwords are prompted for or read from standard input, never taken as an argument, where every
process list would show them.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from twelvefold.settings import FeatureFlags, PostgresSettings, RedisSettings
from twelvefold.settings.command_line import USAGE_ERROR, fail, load_or_fail, run_async

if TYPE_CHECKING:  # loaded on use: every command of the line loads this module
    from twelvefold.contracts.accounts import UserCreate
    from users.service.admins import AdminProvisioning

app = typer.Typer(no_args_is_help=True, help="Accounts: create admins.")


class AdminSettings(PostgresSettings, RedisSettings, FeatureFlags):
    """The part of the service's environment that these commands read."""


@app.callback()
def group() -> None:
    """Accounts: create admins."""  # shown by --help; keeps a lone command a subcommand


@app.command("create-admin")
def create_admin(
    email: Annotated[str, typer.Argument(help="Address of the account.")],
    name: Annotated[str, typer.Option(help="Shown name of a new account.")] = "Administrator",
    verified: Annotated[
        bool, typer.Option("--verified", help="Take the address as verified.")
    ] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Make an admin of a new account, or of an existing one, which keeps its password.

    Sends no email. Exit codes: 0 done, 1 failed, 2 wrong input or settings.
    """
    settings = load_or_fail(AdminSettings, "users")
    if run_async(lambda: promote(settings, email, verified=verified)):
        typer.echo(f"{email} is an admin from its next token on")
        return
    new = _parse_account(email, name, _read_password(from_stdin=password_stdin))
    run_async(lambda: create(settings, new, verified=verified))
    typer.echo(f"{email} is an admin")


async def promote(settings: AdminSettings, email: str, *, verified: bool) -> bool:
    """Make the account an admin. Return False where there is no account with the address."""
    async with open_admins(settings) as admins:
        return await admins.promote(email, verified=verified) is not None


async def create(settings: AdminSettings, new: "UserCreate", *, verified: bool) -> None:
    """Create an admin account. Raises Conflict where the address is taken."""
    async with open_admins(settings) as admins:
        await admins.create(new, verified=verified)


@asynccontextmanager
async def open_admins(settings: AdminSettings) -> AsyncIterator["AdminProvisioning"]:
    """Open the use cases on the database of the settings.

    Raises SchemaError where the schema is missing, DependencyUnavailable without PostgreSQL.
    """
    from twelvefold.database.migrations import SchemaError, is_ready
    from twelvefold.jobs import JobQueue
    from twelvefold.security.common_passwords import CommonPasswords
    from twelvefold.security.passwords import PasswordHasher
    from twelvefold.service.backing import BackingServices
    from users.app import MIGRATIONS
    from users.service.admins import AdminProvisioning
    from users.service.cached import CachedAccounts
    from users.service.password_rules import PasswordRules
    from users.service.post_commit import PostCommitTasks

    backing = BackingServices(settings, application_name="twelvefold-users-admin")
    hasher, post_commit_tasks = PasswordHasher(threads=1), PostCommitTasks()
    try:
        if not await is_ready(backing.database, MIGRATIONS):
            raise SchemaError("schema users does not exist: run `twelvefold db migrate users`")
        jobs = JobQueue(backing.database)  # without wake-ups: a worker finds what is due
        cached = CachedAccounts(backing.database, backing.cache, jobs, post_commit_tasks)
        yield AdminProvisioning(backing.database, cached, hasher, PasswordRules(CommonPasswords()))
    finally:
        await post_commit_tasks.aclose()
        await hasher.aclose()
        await backing.aclose()


def _read_password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        fail("no terminal to prompt for the password: use --password-stdin", USAGE_ERROR)
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


def _parse_account(email: str, name: str, password: str) -> "UserCreate":
    from pydantic import SecretStr, ValidationError

    from twelvefold.contracts.accounts import UserCreate

    try:
        return UserCreate(email=email, name=name, password=SecretStr(password))
    except ValidationError as error:
        for detail in error.errors(include_input=False, include_url=False, include_context=False):
            field = ".".join(str(part) for part in detail["loc"])
            typer.secho(f"  {field}: {detail['msg']}", err=True, fg=typer.colors.RED)
        fail("no account was created", USAGE_ERROR)
