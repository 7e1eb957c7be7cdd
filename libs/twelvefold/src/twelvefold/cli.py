"""`twelvefold`: one command for every process and admin task (12factor.net/admin-processes).

Owns `run`, `log-level`, `openapi`, `metrics` and `config`. Packages add groups of commands by the
entry point `twelvefold.commands` and services by `twelvefold.services`, so that an image has the
commands of what is installed in it and no others.
"""

import json
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperOption

from twelvefold.extras import explain_missing
from twelvefold.observability.redaction import redact_settings
from twelvefold.service.installed import find_service, installed_services, settings_of
from twelvefold.settings import (
    HttpSettings,
    without_disabled,
)
from twelvefold.settings.command_line import (
    USAGE_ERROR,
    ServiceName,
    complete_service,
    fail,
    load_or_fail,
)

_QUEUE_SETTING = "worker_queue"
# Groups whose commands are added at the top level: those of developers and of operators.
_TOP_LEVEL_GROUPS = {"dev", "ops"}
# The panels of --help.
_PROCESSES, _ADMIN_TASKS, _REPOSITORY = "Processes", "Admin tasks", "Repository"

config = typer.Typer(no_args_is_help=True, help="Check and show the settings in force.")
app = typer.Typer(
    name="twelvefold",
    rich_markup_mode="markdown",  # joins the lines of a paragraph
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Run and administer the suite. Settings come from the environment.",
)
app.add_typer(config, name="config", rich_help_panel=_PROCESSES)


@app.command(rich_help_panel=_PROCESSES)
def run(
    service: ServiceName = None,
    queue: Annotated[
        str | None, typer.Option(help="Queue of a worker; default: WORKER_QUEUE.")
    ] = None,
) -> None:
    """Run one service in the foreground until SIGTERM or SIGINT."""
    from twelvefold.http.server.lifecycle import main as run_service

    selected = find_service(service)
    if queue is not None and _QUEUE_SETTING not in selected.settings.model_fields:
        fail(f"{selected.name} has no queue: omit --queue", USAGE_ERROR)
    overrides = {} if queue is None else {_QUEUE_SETTING: queue}
    raise typer.Exit(run_service(selected, **overrides))


@app.command(rich_help_panel=_PROCESSES)
def services(
    as_json: Annotated[bool, typer.Option("--json", help="Print the declarations.")] = False,
) -> None:
    """List the installed services in the order of their migrations, with their listeners."""
    installed = installed_services()
    if as_json:
        declared = {name: service.declaration() for name, service in installed.items()}
        typer.echo(json.dumps(declared, indent=2))
        return
    for service in installed.values():
        typer.echo("\t".join([service.name, *sorted(service.listeners)]))


@app.command("log-level", rich_help_panel=_PROCESSES)
def change_log_level(
    level: Annotated[
        str | None, typer.Argument(help="DEBUG, INFO, WARNING or ERROR; default: show the level.")
    ] = None,
    restore: Annotated[bool, typer.Option("--restore", help="Return to LOG_LEVEL now.")] = False,
    url: Annotated[
        str | None, typer.Option(help="Management port; default: MANAGEMENT_PORT on this machine.")
    ] = None,
) -> None:
    """Show or override the log level of a running process; the override expires after 15 minutes.

    A process accepts this from its own machine only: run the command in the pod, or give the
    `--url` that `twelvefold ps` shows.
    """
    import httpx

    target = url or f"http://127.0.0.1:{load_or_fail(HttpSettings).management_port}"
    method, body = ("PUT", {"level": level.upper()}) if level else ("GET", None)
    if restore:
        method, body = "DELETE", None
    try:
        response = httpx.request(method, f"{target.rstrip('/')}/log-level", json=body, timeout=5)
        content = response.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        fail(f"no Twelvefold process at {target}: {error}")
    if response.is_error:
        faults = (fault["detail"] for fault in content.get("errors", ()))
        fail(" ".join([content["detail"], *faults]))
    until = f" until {content['until']}, then {content['configured']}" if content["until"] else ""
    typer.echo(f"{content['level']}{until}")


@app.command(rich_help_panel=_REPOSITORY)
def openapi(
    directory: Annotated[Path, typer.Argument(help="Directory of the documents.")],
    check: Annotated[
        bool, typer.Option(help="Write nothing; exit 1 if a document is out of date.")
    ] = False,
    only: Annotated[
        str | None,
        typer.Option("--service", help="Only of this service.", autocompletion=complete_service),
    ] = None,
) -> None:
    """Write the OpenAPI document of each app of each installed service."""
    from .settings.reference import example

    stale = []
    selected = installed_services().values() if only is None else [find_service(only)]
    for service in selected:
        if not service.listeners:
            continue
        process = service.create(example(settings_of(service)))
        apps = {service.name: process.public, f"{service.name}-internal": process.internal}
        for name, service_app in apps.items():
            if service_app is None:
                continue
            path = directory / f"{name}.json"
            content = json.dumps(service_app.openapi(), indent=2, ensure_ascii=False) + "\n"
            if path.exists() and path.read_text(encoding="utf-8") == content:
                continue
            stale.append(path.name)
            if not check:
                directory.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
    if stale and check:
        fail(f"out of date: {', '.join(stale)}: run make openapi")
    typer.echo(f"{directory}: {'wrote ' + ', '.join(stale) if stale else 'up to date'}")


@config.command()
def check(service: ServiceName = None) -> None:
    """List all missing, unsafe and unknown settings at once; exit 2 if there is any."""
    selected = find_service(service)
    settings = load_or_fail(without_disabled(settings_of(selected)), selected.name)
    typer.echo(f"{selected.name}: settings are complete for {settings.environment}")


@config.command()
def show(
    service: ServiceName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the settings in force, secrets redacted."""
    selected = find_service(service)
    settings = load_or_fail(without_disabled(settings_of(selected)), selected.name)
    values = redact_settings(settings)
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    width = max(len(name) for name in values)
    for name, value in values.items():
        typer.echo(f"{name:<{width}}  {'' if value is None else value}")


def _add_commands() -> None:
    for entry in entry_points(group="twelvefold.commands"):
        group = entry.load()
        if entry.name in _TOP_LEVEL_GROUPS:
            app.registered_commands.extend(group.registered_commands)
            app.registered_groups.extend(group.registered_groups)
        else:
            app.add_typer(group, name=entry.name, rich_help_panel=_ADMIN_TASKS)


def _hide_types_of_flags(command: Any) -> None:
    """Show `--json` in --help, and not `--json <bool>`, for this command and those below it."""
    for parameter in command.get_params(typer.Context(command)):
        if isinstance(parameter, TyperOption) and parameter.is_flag:
            parameter.metavar = ""
    for child in getattr(command, "commands", {}).values():
        _hide_types_of_flags(child)


def main() -> None:
    """Run the `twelvefold` command; exit 130 on Ctrl-C."""
    _add_commands()
    command = typer.main.get_command(app)
    _hide_types_of_flags(command)
    try:
        command()
    except KeyboardInterrupt:
        sys.exit(130)
    except ImportError as error:
        missing = explain_missing(error, "this command")
        if missing is None:
            raise
        sys.exit(str(missing))
