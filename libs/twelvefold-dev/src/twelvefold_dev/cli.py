"""The commands of the laptop stack: up, down, ps, scale, restart, logs, console.

The entry point `dev` adds them to the top level of `twelvefold` where this distribution is
installed.
"""

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from twelvefold.contracts.terminal import escape_unprintable
from twelvefold.settings.command_line import (
    FAILURE,
    USAGE_ERROR,
    complete_service,
    fail,
)
from twelvefold_dev.environment.composition import OPERATOR
from twelvefold_dev.project.commands import rename, upgrade
from twelvefold_dev.servers.server import StackError
from twelvefold_dev.supervisor.control import END_TIMEOUT, RunLock, ask
from twelvefold_dev.terminal.failures import report_failures
from twelvefold_dev.terminal.log_follower import LogFollower, log_names
from twelvefold_dev.terminal.logs import Renderer
from twelvefold_dev.terminal.processes_table import show

from .checkout import Checkout
from .repository_commands import backing, reference
from .scaffold import cli as scaffold

_ASK_TIMEOUT = 15.0
_SCALE_TIMEOUT = 120.0
_NOTHING_RUNS = "nothing runs in this checkout (start it by `make up`)"

# The panels of --help.
_LAPTOP, _REPOSITORY = "On this machine", "Repository"

app = typer.Typer()
app.add_typer(scaffold.new, name="new", rich_help_panel=_REPOSITORY)
app.add_typer(scaffold.remove, name="remove", rich_help_panel=_REPOSITORY)
app.command(rich_help_panel=_REPOSITORY)(scaffold.workspace)
app.command(rich_help_panel=_REPOSITORY)(rename)
app.command(rich_help_panel=_REPOSITORY)(upgrade)
app.command(rich_help_panel=_REPOSITORY)(backing)
app.command(rich_help_panel=_REPOSITORY)(reference)


def _parse_counts(values: list[str], *, minimum: int = 1) -> dict[str, int]:
    """Return the process count of each service. Exits with a usage error for any other form."""
    counts = {}
    for value in values:
        service, _, count = value.partition("=")
        if not service or not count.isdigit() or int(count) < minimum:
            fail(f"{value!r} does not have the form SERVICE=COUNT", USAGE_ERROR)
        counts[service] = int(count)
    return counts


def _checkout() -> Checkout:
    return Checkout.find(Path.cwd())


def _complete_count(incomplete: str) -> list[str]:
    return [f"{name}=" for name in complete_service(incomplete)]


def _complete_log(incomplete: str) -> list[str]:
    try:
        names = log_names(_checkout().logs)
    except StackError:
        return complete_service(incomplete)
    return [name for name in names if name.startswith(incomplete)]


@app.command(rich_help_panel=_LAPTOP)
def up(
    detach: Annotated[bool, typer.Option(help="Return when everything is ready.")] = False,
    scale: Annotated[
        list[str] | None,
        typer.Option(help="Processes of a service, e.g. worker=3.", autocompletion=_complete_count),
    ] = None,
) -> None:
    """Run the suite: servers, migrations, services with reload, a demo account."""
    from twelvefold_dev.supervisor.detached import follow, run_detached
    from twelvefold_dev.terminal.progress import Progress

    counts = _parse_counts(scale or [])
    with report_failures():
        checkout = _checkout()
        checkout.create()
        lock = RunLock(checkout.run)
        with Progress(Console()) as progress:
            if not lock.acquire():
                typer.echo("already running in this checkout")
                follow(checkout, progress.outcome_only())
            elif detach:
                lock.release()  # the supervisor acquires it
                run_detached(checkout, counts, progress)
            else:
                from twelvefold_dev.supervisor.launch import run_here

                try:
                    run_here(checkout, counts, progress)
                except StackError:
                    if progress.outcome != "failed":
                        raise
    if progress.outcome == "failed":
        raise typer.Exit(FAILURE)


@app.command(rich_help_panel=_LAPTOP)
def down() -> None:
    """Stop the suite in order, wherever it was started, and wait until every process ended."""
    with report_failures():
        checkout = _checkout()
        if not _end(checkout):
            typer.echo("nothing was running")


def _end(checkout: Checkout) -> bool:
    """Stop the stack and return whether anything ran.

    Raises StackError where it does not end in time.
    """
    from twelvefold_dev.supervisor.orphan_processes import terminate_orphans

    lock = RunLock(checkout.run)
    if not lock.is_held:
        # A killed supervisor may leave processes behind.
        return terminate_orphans(checkout.run) > 0
    for _ in ask(checkout.run, _ASK_TIMEOUT, command="down"):
        pass
    with Console().status("Stopping in order"):
        if not lock.wait_until_free(END_TIMEOUT):
            raise StackError(
                f"the stack did not end within {END_TIMEOUT:.0f} s; see `twelvefold logs`"
            )
    return True


@app.command(rich_help_panel=_LAPTOP)
def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop the suite and delete all its local data: databases, objects, mail, secrets, logs."""
    with report_failures():
        checkout = _checkout()
        if not yes:
            typer.confirm(
                f"Delete every account, image, job and mail of {checkout.state}?", abort=True
            )
        _end(checkout)
        try:
            checkout.delete()
        except OSError as error:
            fail(f"not everything could be deleted: {error}")
    typer.echo("all local data deleted")


@app.command(rich_help_panel=_LAPTOP)
def ps(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the processes: id, state, uptime, requests, errors, memory."""
    with report_failures():
        show(_request_processes("ps"), as_json=as_json)


@app.command(rich_help_panel=_LAPTOP)
def scale(
    counts: Annotated[
        list[str],
        typer.Argument(help="SERVICE=COUNT, e.g. worker=5.", autocompletion=_complete_count),
    ],
) -> None:
    """Start or stop processes of a service until it has the given count; 0 stops all of them."""
    with report_failures():
        processes: list[dict[str, Any]] = []
        for service, count in _parse_counts(counts, minimum=0).items():
            processes = _request_processes("scale", _SCALE_TIMEOUT, service=service, count=count)
        show(processes, as_json=False)


@app.command(rich_help_panel=_LAPTOP)
def env(
    process: Annotated[
        str,
        typer.Argument(
            help="A service; by default an operator, for backup and restore.",
            autocompletion=complete_service,
        ),
    ] = OPERATOR,
) -> None:
    """Print the environment of a process of the running stack, secrets included, for a shell.

    `eval "$(twelvefold env worker)"; twelvefold jobs list`
    """
    with report_failures():
        for response in ask(_running_checkout().run, _ASK_TIMEOUT, command="env", process=process):
            for name, value in sorted(response["environment"].items()):
                typer.echo(f"export {name}={shlex.quote(value)}")


@app.command(rich_help_panel=_LAPTOP)
def restart(
    services: Annotated[
        list[str],
        typer.Argument(help="One or several services.", autocompletion=complete_service),
    ],
) -> None:
    """Replace the processes of a service one by one, without refusing a request."""
    with report_failures():
        checkout = _running_checkout()
        for service in services:
            with Console(stderr=True).status(f"Replacing {service}"):
                for response in ask(
                    checkout.run, _SCALE_TIMEOUT, command="restart", service=service
                ):
                    typer.echo(f"{response['replaced']} replaced")


def _running_checkout() -> Checkout:
    checkout = _checkout()
    if not RunLock(checkout.run).is_held:
        raise StackError(_NOTHING_RUNS)
    return checkout


def _request_processes(
    command: str, within: float = _ASK_TIMEOUT, **request: Any
) -> list[dict[str, Any]]:
    checkout = _running_checkout()
    for response in ask(checkout.run, within, command=command, **request):
        processes: list[dict[str, Any]] = response["processes"]
        return processes
    raise StackError("the stack is shutting down")


@app.command(rich_help_panel=_LAPTOP)
def console(
    open_browser: Annotated[
        bool, typer.Option("--open", help="Also open the link in the browser.")
    ] = False,
) -> None:
    """Print the link to the developer console, with its token."""
    from twelvefold_dev.console.config import FILE, ConsoleConfig

    with report_failures():
        checkout = _checkout()
        if not RunLock(checkout.run).is_held:
            raise StackError(_NOTHING_RUNS)
        link = ConsoleConfig.read(checkout.run / FILE).link
    typer.echo(link)
    if open_browser:
        typer.launch(link)


@app.command(rich_help_panel=_LAPTOP)
def logs(
    service: Annotated[
        str | None,
        typer.Argument(
            help="A service, one process (api.1) or a server (postgres).",
            autocompletion=_complete_log,
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines too.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", help="Number of lines from each file.", min=0)
    ] = 50,
    raw: Annotated[bool, typer.Option("--json", help="Print lines as written.")] = False,
) -> None:
    """Print the logs of the services, of one service, of one process or of one server."""
    with report_failures():
        checkout = _checkout()
        follower = LogFollower(checkout.logs, service, lines)
        if not follower.names:
            there_are = ", ".join(log_names(checkout.logs)) or "none yet"
            raise StackError(f"no logs of {service or 'the services'}; there are: {there_are}")
        renderer = Renderer.of(typer.get_text_stream("stdout"))
        while True:
            for name, line in follower.read_new_lines():
                shown = escape_unprintable(line) if raw and sys.stdout.isatty() else line
                typer.echo(shown if raw else renderer.line(name, line))
            if not follow:
                return
            time.sleep(0.2)
