"""Shared parts of every command: loading settings, reporting failures, exit codes."""

import asyncio
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from twelvefold.contracts.terminal import escape_unprintable
from twelvefold.errors import TwelvefoldError

from .base import EnvironmentSettings, SettingsError, load, process_environment

# Entry points: functions that return the environment of a named process, empty if none runs.
ENVIRONMENTS = "twelvefold.environments"
USAGE_ERROR = 2
FAILURE = 1
S = TypeVar("S", bound=EnvironmentSettings)


def complete_service(incomplete: str) -> list[str]:
    """Return the installed services whose names begin like this, for the shell's completion."""
    # Not loaded, which would make each press of the key slow.
    names = (entry.name for entry in entry_points(group="twelvefold.services"))
    return sorted(name for name in names if name.startswith(incomplete))


ServiceName = Annotated[
    str | None,
    typer.Argument(
        help="Service; default: the only one installed.", autocompletion=complete_service
    ),
]


def fail(message: str, code: int = FAILURE) -> NoReturn:
    """Print `message` on stderr and exit with `code`, without a traceback."""
    typer.secho(escape_unprintable(message, keep_lines=True), err=True, fg=typer.colors.RED)
    raise typer.Exit(code)


def load_or_fail(settings_class: type[S], process: str | None = None) -> S:
    """Return the settings, or print every problem on stderr and exit with 2.

    `process` is the process whose task the command does, a service or "operator". Missing settings
    are then taken from it where a stack runs in this folder on a developer's machine.
    """
    try:
        return load(settings_class)
    except SettingsError as error:
        problems = error.problems
    hint = ""
    is_incomplete = any(problem.is_missing for problem in problems)
    if process is not None and is_incomplete and (running := _find_running(process)) is not None:
        own = process_environment()
        overrides = {
            name: value
            for name in settings_class.model_fields
            if (value := running.get(name.upper())) is not None and name.upper() not in own
        }
        if overrides:
            try:
                return load(settings_class, **overrides)
            except SettingsError as error:
                problems = error.problems
        else:
            hint = ", and no suite runs in this folder"
    for problem in problems:
        typer.secho(f"  {problem}", err=True, fg=typer.colors.RED)
    fail(f"{len(problems)} invalid settings{hint}", USAGE_ERROR)


def _find_running(process: str) -> Mapping[str, str] | None:
    """Return the environment of a process of the stack that runs in this folder.

    Empty where none runs, and None where none can, as in an image.
    """
    for entry in entry_points(group=ENVIRONMENTS):
        environment: Mapping[str, str] = entry.load()(process)
        return environment
    return None


def run_async(main: Callable[[], Any]) -> Any:
    """Run a coroutine function; print a TwelvefoldError in one line and exit with 1."""
    try:
        return asyncio.run(main())
    except TwelvefoldError as error:
        fail(error.detail)
