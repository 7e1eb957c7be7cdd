"""`twelvefold`: one command for every process and admin task of a release (12factor.net/admin-processes).

Owns run and config. Services add groups of commands by the entry point
`twelvefold.commands` and themselves by `twelvefold.services`, so that an image holds exactly the
commands of what is installed in it; the laptop stack's group `dev` is merged at the top.
"""

import json
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from twelvefold.observability.redaction import redacted_settings
from twelvefold.service.installed import installed_services, service_named
from twelvefold.settings import (
    HttpSettings,
)
from twelvefold.settings.command_line import (
    USAGE_ERROR,
    ServiceName,
    fail,
    load_or_fail,
)

_QUEUE = "worker_queue"
# Groups of commands that stand at the top: the laptop stack's and the operators'.
_AT_THE_TOP = {"dev", "ops"}

config = typer.Typer(no_args_is_help=True, help="Settings: check and show what is in force.")
app = typer.Typer(
    name="twelvefold",
    rich_markup_mode="markdown",  # joins the lines of a paragraph
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Runs and administers the suite. Settings come from the environment.",
)
app.add_typer(config, name="config")


@app.command()
def run(
    service: ServiceName = None,
    queue: Annotated[
        str | None, typer.Option(help="Queue that a worker works on, instead of WORKER_QUEUE.")
    ] = None,
) -> None:
    """Runs one service in the foreground until SIGTERM or SIGINT."""
    from twelvefold.http.server.lifecycle import main as service_main

    found = service_named(service)
    if queue is not None and _QUEUE not in found.settings.model_fields:
        fail(f"{found.name} has no queue: omit --queue", USAGE_ERROR)
    raise typer.Exit(service_main(found, **({} if queue is None else {_QUEUE: queue})))


@app.command("log-level")
def change_log_level(
    level: Annotated[
        str | None, typer.Argument(help="DEBUG, INFO, WARNING or ERROR; default: only show it.")
    ] = None,
    restore: Annotated[bool, typer.Option("--restore", help="Back to LOG_LEVEL now.")] = False,
    url: Annotated[
        str | None, typer.Option(help="Management port; default: MANAGEMENT_PORT on this machine.")
    ] = None,
) -> None:
    """Shows or changes how much a running process logs; it falls back after 15 minutes.

    A process takes this from its own machine only: run it in the pod, or give the `--url` that
    `twelvefold ps` shows.
    """
    import httpx

    target = url or f"http://127.0.0.1:{load_or_fail(HttpSettings).management_port}"
    method, body = ("PUT", {"level": level.upper()}) if level else ("GET", None)
    if restore:
        method, body = "DELETE", None
    try:
        response = httpx.request(method, f"{target.rstrip('/')}/log-level", json=body, timeout=5)
        found = response.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        fail(f"no Twelvefold process at {target}: {error}")
    if response.is_error:
        fail(" ".join([found["detail"], *(fault["detail"] for fault in found.get("errors", ()))]))
    until = f" until {found['until']}, then {found['configured']}" if found["until"] else ""
    typer.echo(f"{found['level']}{until}")


@app.command()
def openapi(
    directory: Annotated[Path, typer.Argument(help="Where the documents stand.")],
    check: Annotated[bool, typer.Option(help="Only say whether they are current; exit 1.")] = False,
) -> None:
    """Writes the OpenAPI document of every app of every installed service."""
    from .settings.reference import example

    stale = []
    for service in installed_services().values():
        process = service.create(example(service.settings))
        apps = {service.name: process.public, f"{service.name}-internal": process.internal}
        for name, found in apps.items():
            if found is None:
                continue
            path = directory / f"{name}.json"
            content = json.dumps(found.openapi(), indent=2, ensure_ascii=False) + "\n"
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
    """Names every missing, unsafe and unknown setting at once; exit 2 where there is one."""
    found = service_named(service)
    settings = load_or_fail(found.settings)
    typer.echo(f"{found.name}: settings are complete for {settings.environment}")


@config.command()
def show(
    service: ServiceName = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Shows the settings in force, secrets redacted."""
    settings = load_or_fail(service_named(service).settings)
    values = redacted_settings(settings)
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    width = max(len(name) for name in values)
    for name, value in values.items():
        typer.echo(f"{name:<{width}}  {'' if value is None else value}")


def _add_commands() -> None:
    for entry in entry_points(group="twelvefold.commands"):
        group = entry.load()
        if entry.name in _AT_THE_TOP:
            app.registered_commands.extend(group.registered_commands)
            app.registered_groups.extend(group.registered_groups)
        else:
            app.add_typer(group, name=entry.name)


def main() -> None:
    """Entry point of the `twelvefold` script."""
    _add_commands()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
