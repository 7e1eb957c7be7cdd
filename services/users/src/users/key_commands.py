"""`twelvefold keys …`: the set of keys that sign access tokens, in a file or through a pipe.

A set is a secret: files are made with mode 0600 and replaced whole, and nothing private is shown.
What was done is told on standard error, so that standard output holds the set alone.
"""

import contextlib
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twelvefold.settings.command_line import USAGE_ERROR, fail

if TYPE_CHECKING:  # loaded on use: every command of the line loads this module
    from twelvefold.security.rotation import RotationStep

app = typer.Typer(no_args_is_help=True, help="Keys that sign access tokens: make, rotate, show.")
_PIPE = "-"
KeyFile = Annotated[str, typer.Argument(help="File of the JWK set; - for a pipe.")]


@app.command()
def generate(file: KeyFile = _PIPE) -> None:
    """Makes a set of one new key. Never replaces a file."""
    from twelvefold.security.rotation import generate as made

    if file != _PIPE and Path(file).exists():
        fail(f"{file} is there already: `twelvefold keys rotate` replaces its key", USAGE_ERROR)
    _finish(file, made(datetime.now(UTC)))


@app.command()
def rotate(file: KeyFile = _PIPE) -> None:
    """Does the next step of replacing the key, and says when the one after it is due.

    Deploy the result of each step before the next. Run before that is due, it changes nothing.
    """
    from twelvefold.security.keys import MalformedKey
    from twelvefold.security.rotation import rotate as stepped

    try:
        step = stepped(_content(file), datetime.now(UTC))
    except MalformedKey as error:
        fail(f"the set {error}", USAGE_ERROR)
    _finish(file, step)


@app.command()
def show(file: KeyFile = _PIPE) -> None:
    """Prints the set as everybody may see it, without private parts."""
    import json

    from twelvefold.security.keys import KeySet, MalformedKey

    try:
        keys = KeySet.from_json(_content(file))
    except MalformedKey as error:
        fail(f"the set {error}", USAGE_ERROR)
    public: dict[str, Any] = {**keys.public_jwks()}
    typer.echo(json.dumps(public, indent=2))


def _content(file: str) -> str:
    if file == _PIPE:
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"cannot read {file}: {getattr(error, 'strerror', None) or 'no text'}", USAGE_ERROR)


def _finish(file: str, step: "RotationStep") -> None:
    if file == _PIPE:
        typer.echo(step.to_json())
    elif step.changed:
        try:
            _replace(Path(file), step.to_json())
        except OSError as error:
            fail(f"cannot write {file}: {error.strerror}")
    typer.echo(step.output, err=True)
    if step.due is not None:
        typer.echo(f"next step due from {step.due.isoformat(timespec='seconds')}", err=True)


def _replace(path: Path, content: str) -> None:
    """The old set or the new one, whatever happens meanwhile."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            written.write(content + "\n")
            written.flush()
            os.fsync(written.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
