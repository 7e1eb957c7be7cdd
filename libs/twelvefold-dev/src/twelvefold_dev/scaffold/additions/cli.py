"""`twelvefold new endpoint`, `new job` and `new setting`."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from twelvefold.service.definition import Service
from twelvefold.service.installed import find_service
from twelvefold.settings.command_line import complete_service
from twelvefold_dev.checkout import Checkout
from twelvefold_dev.scaffold.errors import ScaffoldError
from twelvefold_dev.terminal.failures import report_failures

if TYPE_CHECKING:
    from .addition import Addition

ServiceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SERVICE", help="An installed service.", autocompletion=complete_service
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the changes; change nothing.")]


def new_endpoint(
    service: ServiceArgument,
    name: Annotated[str, typer.Argument(help="Last part of its path: letters, digits and _.")],
    *,
    write: Annotated[
        bool,
        typer.Option(
            "--write/--read", help="Change one row (POST …/{id}/NAME), or read (GET …/NAME)."
        ),
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Add an endpoint to the resource of a service: route, schema, use case, statement, test.

    It counts the rows of an owner, or changes the title of one. Write your own in their place.
    """
    from .endpoint import plan_endpoint

    _add(service, lambda root, found: plan_endpoint(root, found, name, writes=write), dry_run)


def new_job(
    service: ServiceArgument,
    kind: Annotated[str, typer.Argument(help="`noun.verb`; a verb alone is of the service.")],
    *,
    mail: Annotated[
        bool, typer.Option("--mail", help="Send an email, to the address of a new setting.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Add a kind of job to a service that runs jobs: payload, handler, registration, test."""
    from .job import plan_job

    _add(service, lambda root, found: plan_job(root, found, kind, mail=mail), dry_run)


def new_setting(
    service: ServiceArgument,
    name: Annotated[str, typer.Argument(help="Name of the variable, such as ORDERS_MAX_OPEN.")],
    *,
    description: Annotated[str, typer.Option(help="What it is, with its unit: one sentence.")],
    default: Annotated[
        str | None,
        typer.Option(help="Its default, which also decides the type: true, 20, 0.5 or a text."),
    ] = None,
    secret: Annotated[bool, typer.Option("--secret", help="An optional secret.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Add a setting to a service: its field, its value in the chart, the reference."""
    from .setting import plan_setting

    def plan(root: Path, found: Service) -> "Addition":
        if secret is (default is not None):
            raise ScaffoldError("give either --default or --secret")
        return plan_setting(root, found, name, default=default, description=description)

    _add(service, plan, dry_run)


def _add(name: str, plan: Callable[[Path, Service], "Addition"], dry_run: bool) -> None:
    from .addition import apply_addition

    started = time.monotonic()
    service = find_service(name)
    with report_failures(ScaffoldError):
        checkout = Checkout.find(Path.cwd())
        addition = plan(checkout.root, service).format(checkout.root)
        if dry_run:
            typer.echo(addition.diff(checkout.root), nl=False)
            return
        lines = addition.count_lines(checkout.root)
        with Console(stderr=True).status(f"Adding {addition.text}"):
            apply_addition(checkout, addition)
    for path in addition.files:
        typer.echo(path)
    seconds = time.monotonic() - started
    typer.echo(f"{addition.text}: {lines} lines in {len(addition.files)} files, in {seconds:.1f} s")
