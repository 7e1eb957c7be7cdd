"""`twelvefold new service`, `twelvefold remove service` and `twelvefold workspace`."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from twelvefold.service.installed import installed_services
from twelvefold.settings.command_line import fail
from twelvefold_dev.checkout import Checkout
from twelvefold_dev.terminal.failures import report_failures

from .additions import cli as additions
from .errors import ScaffoldError

new = typer.Typer(no_args_is_help=True, help="Add to the suite what runs without an edit.")
new.command("endpoint")(additions.new_endpoint)
new.command("job")(additions.new_job)
new.command("setting")(additions.new_setting)
remove = typer.Typer(no_args_is_help=True, help="Take out what `new` has added.")
Name = Annotated[str, typer.Argument(help="Name of the service: lower-case letters and digits.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the files; change nothing.")]


def workspace(
    check: Annotated[bool, typer.Option(help="Only report what is out of date; exit 1.")] = False,
) -> None:
    """Write the lists of services in pyproject.toml, skaffold.yaml, CODEOWNERS and the charts."""
    from .lists import write_lists

    with report_failures(ScaffoldError):
        root = Checkout.find(Path.cwd()).root
        stale = write_lists(root, installed_services(), check=check)
    if stale and check:
        fail(f"out of date: {', '.join(stale)}: run make workspace")
    typer.echo(f"lists of services: {'wrote ' + ', '.join(stale) if stale else 'up to date'}")


@new.command("service")
def new_service(
    name: Name,
    *,
    public: Annotated[
        bool, typer.Option("--public/--internal", help="Called by clients, or by services only.")
    ] = True,
    jobs: Annotated[
        bool, typer.Option("--jobs", help="With a kind of job, on a queue of its own.")
    ] = False,
    table: Annotated[
        str | None, typer.Option(help="Its table, in the plural; default: the name.")
    ] = None,
    caller: Annotated[
        list[str] | None, typer.Option(help="With --internal: a service that calls it.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Add a service with one resource: package, migration, tests, charts, routing, alerts.

    Everything that lists services follows: see `git status`. Then `make check` and `make up`.
    """
    from .create import create_service
    from .plan import ServicePlan

    started = time.monotonic()
    with report_failures(ScaffoldError):
        checkout = Checkout.find(Path.cwd())
        callers = () if public else tuple(caller or ("api",))
        if public and caller:
            raise ScaffoldError("--caller needs --internal: clients call a public service")
        plan = ServicePlan(name, (table or name).lower(), public, callers, jobs)
        services = installed_services()
        if dry_run:
            plan.check(checkout.root, services)
            for path, content in sorted(plan.files().items()):
                typer.echo(f"{path}  {len(content.splitlines())} lines")
            return
        with Console(stderr=True).status(f"Creating {name}"):
            files = create_service(checkout, plan, services)
    lines = sum(len((checkout.root / path).read_text().splitlines()) for path in files)
    seconds = time.monotonic() - started
    typer.echo(f"{name}: {len(files)} files, {lines} lines, in {seconds:.1f} s; now `make up`")


@remove.command("service")
def remove_service_command(name: Name, *, dry_run: DryRun = False) -> None:
    """Remove a service and everything that follows from it. Its schema stays: see the output.

    Refuses where another service calls it or where its files have edits that are not committed.
    """
    from .plan import paths_of
    from .remove import remove_service

    with report_failures(ScaffoldError):
        checkout = Checkout.find(Path.cwd())
        if dry_run:
            for path in paths_of(name):
                if (checkout.root / path).exists():
                    typer.echo(str(path))
            return
        with Console(stderr=True).status(f"Removing {name}"):
            sql = remove_service(checkout, name, installed_services())
    typer.echo(f"{name}: removed")
    if sql:
        typer.echo(f"-- The schema stays. A superuser drops it with all its data by:\n{sql}")
