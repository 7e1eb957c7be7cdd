"""Shared parts of every command: loading settings, reporting failures, exit codes."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from twelvefold.contracts.terminal import escape_unprintable
from twelvefold.errors import TwelvefoldError

from .base import EnvironmentSettings, SettingsError, load

USAGE_ERROR = 2
FAILURE = 1
S = TypeVar("S", bound=EnvironmentSettings)
ServiceName = Annotated[
    str | None, typer.Argument(help="Service; default: the only one installed.")
]


def fail(message: str, code: int = FAILURE) -> NoReturn:
    """Print `message` on stderr and exit with `code`, without a traceback."""
    typer.secho(escape_unprintable(message, keep_lines=True), err=True, fg=typer.colors.RED)
    raise typer.Exit(code)


def load_or_fail(settings_class: type[S]) -> S:
    """Return the settings, or print every problem on stderr and exit with 2."""
    try:
        return load(settings_class)
    except SettingsError as error:
        for problem in error.problems:
            typer.secho(f"  {problem}", err=True, fg=typer.colors.RED)
        fail(f"{len(error.problems)} invalid settings", USAGE_ERROR)


def run_async(main: Callable[[], Any]) -> Any:
    """Run a coroutine function; print a TwelvefoldError in one line and exit with 1."""
    try:
        return asyncio.run(main())
    except TwelvefoldError as error:
        fail(error.detail)
