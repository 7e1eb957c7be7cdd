"""`twelvefold keys …`: the set of keys that sign access tokens, in a file or through a pipe.

A set is a secret: files have mode 0600 and are replaced atomically, and no private part is shown.
Messages go to standard error, so that standard output holds only the set.
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
    """Make a set of one new key. Never replaces a file."""
    from twelvefold.security.rotation import generate as generate_set

    if file != _PIPE and Path(file).exists():
        fail(f"{file} exists: `twelvefold keys rotate` replaces its key", USAGE_ERROR)
    _write(file, generate_set(datetime.now(UTC)))


@app.command()
def rotate(file: KeyFile = _PIPE) -> None:
    """Take the next step of replacing the key, and print when the step after it is due.

    Deploy the result of each step before the next one. Before a step is due, nothing changes.
    """
    from twelvefold.security.keys import MalformedKey
    from twelvefold.security.rotation import rotate as rotate_set

    try:
        step = rotate_set(_read(file), datetime.now(UTC))
    except MalformedKey as error:
        fail(f"the set {error}", USAGE_ERROR)
    _write(file, step)


@app.command()
def show(file: KeyFile = _PIPE) -> None:
    """Print the public keys of the set."""
    import json

    from twelvefold.security.keys import KeySet, MalformedKey

    try:
        keys = KeySet.from_json(_read(file))
    except MalformedKey as error:
        fail(f"the set {error}", USAGE_ERROR)
    public: dict[str, Any] = {**keys.public_jwks()}
    typer.echo(json.dumps(public, indent=2))


def _read(file: str) -> str:
    if file == _PIPE:
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"cannot read {file}: {getattr(error, 'strerror', None) or 'no text'}", USAGE_ERROR)


def _write(file: str, step: "RotationStep") -> None:
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
    """Replace the file atomically: it holds the old set or the new one at any time."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as output:
            output.write(content + "\n")
            output.flush()
            os.fsync(output.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
