"""`twelvefold rename` and `twelvefold upgrade`, for a project that was made from the suite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twelvefold.settings.command_line import FAILURE, USAGE_ERROR, fail
from twelvefold_dev.checkout import Checkout
from twelvefold_dev.terminal.failures import report_failures

from . import releases
from .git import GitError, Repository
from .naming import Naming

_ERRORS = (releases.ProjectError, GitError)


def _repository() -> Repository:
    root = Checkout.find(Path.cwd()).root
    repository = Repository(root)
    if Path(repository.run("rev-parse", "--show-toplevel")).resolve() != root.resolve():
        raise releases.ProjectError(f"{root} is not the root of a git repository")
    return repository


def rename(
    name: Annotated[str, typer.Argument(help="Name of the project, such as acme.")],
    title: Annotated[
        str | None, typer.Option(help="Name in titles; default: the name, capitalised.")
    ] = None,
    made_from: Annotated[
        str | None,
        typer.Option("--from", help="Release it was made from; default: its newest release tag."),
    ] = None,
) -> None:
    """Give the project its own name in charts, images, labels, metrics and pages, and commit it.

    Import names, the command, settings and Redis keys stay, so that releases merge.
    """
    with report_failures(*_ERRORS):
        try:
            naming = Naming.create(name, title)
        except ValueError as error:
            fail(str(error), USAGE_ERROR)
        changed = releases.rename(_repository(), naming, made_from)
    typer.echo(f"{naming.title}: {changed} files changed and committed")
    typer.echo("what clients read (titles, emails) comes from the setting SUITE_NAME")


def upgrade(
    source: Annotated[str, typer.Argument(help="Repository of the suite: a path or URL.")],
    to: Annotated[
        str | None, typer.Option(help="Tag, branch or commit; default: the newest release.")
    ] = None,
    made_from: Annotated[
        str | None,
        typer.Option("--from", help="Release of a project that was copied without its history."),
    ] = None,
) -> None:
    """Merge a later release of the suite into this project, and list what is left to decide.

    Edits are never overwritten: where both changed the same lines, the file has both versions, the
    exit code is 1, and nothing is committed.
    """
    with report_failures(*_ERRORS):
        merge = releases.upgrade(_repository(), source, to, made_from)
    if merge.commit is None:
        typer.echo(f"the project has release {merge.release} already")
        return
    if not merge.conflicts:
        typer.echo(f"merged release {merge.release}: {merge.changed} files changed")
        typer.echo("next: make sync check test")
        return
    for path, reason in merge.conflicts:
        typer.echo(f"  {path}: {reason}")
    fail(
        f"{len(merge.conflicts)} conflicts with release {merge.release}: edit these files, "
        "then `git add` and `git commit`, or undo all of it by `git merge --abort`",
        FAILURE,
    )
