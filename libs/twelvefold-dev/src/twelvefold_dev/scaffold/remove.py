"""Removal of a service without a trace in the checkout. Its data stays in the database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from twelvefold.database.revisions import JOBS_MIGRATIONS, Migrations
from twelvefold.service.definition import Service
from twelvefold_dev.checkout import Checkout, read_json
from twelvefold_dev.project.git import GitError, Repository

from .create import ALERTS, delete, digest, record_of
from .errors import ScaffoldError
from .plan import paths_of
from .workspace import WITHOUT_DOCUMENTS, derive, install

_GENERATED = ("README.md", "values.schema.json", "Chart.lock")  # derived, or copied


def remove_service(checkout: Checkout, name: str, services: Mapping[str, Service]) -> str:
    """Remove the service and return the SQL that would drop its schema and roles.

    Raises ScaffoldError where another service calls it or names it as a caller, where it owns the
    jobs of the others, or where its files have edits that are not committed.
    """
    service = services.get(name)
    if service is None:
        raise ScaffoldError(f"no service {name}: choose from {', '.join(services)}")
    callers = sorted(other for other, one in services.items() if name in one.calls)
    if callers:
        raise ScaffoldError(f"{', '.join(callers)} calls {name}: remove the calls first")
    if service.migrations == JOBS_MIGRATIONS:
        raise ScaffoldError(f"{name} runs the jobs of every service")
    callees = sorted(other for other, one in services.items() if name in one.callers)
    if callees:
        raise ScaffoldError(
            f"{name} is a declared caller of {', '.join(callees)}: remove that first"
        )
    root = checkout.root
    edited = _edited(checkout, name)
    if edited:
        raise ScaffoldError(f"not committed: {', '.join(edited)}: commit or discard them first")
    for path in paths_of(name):
        delete(root / path)
    _delete_if_empty(root / "tests/observability/cases")
    page = (root / ALERTS).read_text(encoding="utf-8")
    section = re.compile(rf"^## {name}\n(?:(?!## ).*\n)*", re.MULTILINE)
    (root / ALERTS).write_text(section.sub("", page), encoding="utf-8")
    record_of(checkout, name).unlink(missing_ok=True)
    install(root, removed=name)
    derive(root, name, WITHOUT_DOCUMENTS)
    return _drop(service.migrations) if service.migrations else ""


def _edited(checkout: Checkout, name: str) -> list[str]:
    """Return the service's files that neither a commit nor their creation accounts for."""
    paths = [str(path) for path in paths_of(name)]
    try:
        records = Repository(checkout.root).run(
            "status", "--porcelain", "--untracked-files=all", "-z", "--", *paths
        )
    except GitError as error:
        raise ScaffoldError(f"git status failed: {error}") from error
    created = read_json(record_of(checkout, name)) or {}
    edited = []
    for entry in filter(None, records.split("\0")):
        state, path = entry[:2], Path(entry[3:])
        if path.name in _GENERATED or path.is_relative_to("docs/api"):
            continue
        here = checkout.root / path
        # A file that was never committed is as it was created.
        if state in ("??", "A ") and here.exists() and created.get(str(path)) == digest(here):
            continue
        edited.append(str(path))
    return edited


def _delete_if_empty(folder: Path) -> None:
    if folder.is_dir() and not [path for path in folder.iterdir() if path.name != "__pycache__"]:
        delete(folder)


def _drop(migrations: Migrations) -> str:
    roles = (migrations.app_role, migrations.rotation_role, migrations.owner_role)
    return "\n".join(
        [
            f"DROP SCHEMA IF EXISTS {migrations.schema} CASCADE;",
            *(f"DROP OWNED BY {role}; DROP ROLE {role};" for role in roles),
        ]
    )
