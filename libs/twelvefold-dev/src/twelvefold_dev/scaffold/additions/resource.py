"""The resource of a service as `new service` has written it: its table and its names."""

from __future__ import annotations

import ast
from pathlib import Path

from twelvefold.service.definition import Service
from twelvefold_dev.scaffold.errors import ScaffoldError
from twelvefold_dev.scaffold.plan import ServicePlan


def sources_of(name: str) -> Path:
    """Return the folder of a service's package, relative to the checkout."""
    return Path("services") / name / "src" / name


def tests_of(name: str) -> Path:
    """Return the tests of a service that `new service` has written."""
    return Path(f"tests/integration/{name}/test_{name}.py")


def find_resource(root: Path, service: Service) -> ServicePlan:
    """Return what a service was created by, read from its code.

    Raises ScaffoldError where its first table cannot be one that `new service` has written.
    """
    name = service.name
    path = sources_of(name) / "models.py"
    table = _first_table(root / path)
    if table is None:
        raise ScaffoldError(f"{path} has no table: `new service` writes such services")
    return ServicePlan(
        name, table, service.is_public, service.callers, jobs=service.queue == service.name
    )


def _first_table(path: Path) -> str | None:
    """Return the first `__tablename__` of a module of models."""
    if not path.exists():
        return None
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Assign(
                targets=[ast.Name(id="__tablename__")], value=ast.Constant(value=str(table))
            ):
                return table
    return None
