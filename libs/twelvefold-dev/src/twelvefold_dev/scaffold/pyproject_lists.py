"""The lists of services in pyproject.toml: of the type checker, coverage, and import-linter."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from twelvefold.service.definition import Service

from .errors import ListMissing

_LIBRARIES = ("twelvefold", "twelvefold_client", "twelvefold_dev", "twelvefold_ops")


@dataclass(frozen=True, slots=True)
class _Array:
    """One array of pyproject.toml: the line before it names its table, `key` its name."""

    after: str
    key: str
    values: Callable[[list[str]], Iterable[str]]

    def write(self, text: str, services: list[str]) -> str:
        pattern = re.compile(
            rf"({re.escape(self.after)}\n(?:(?!\[).*\n)*?{self.key} = )\[[^\]]*\]", re.MULTILINE
        )
        content = json.dumps(list(self.values(services)))
        text, count = pattern.subn(lambda found: found[1] + content, text, count=1)
        if not count:
            raise ListMissing(f"pyproject.toml has no {self.key} after {self.after}")
        return text


def _contract(name: str) -> str:
    return f'name = "{name}"'


_ARRAYS = (
    _Array(
        "[tool.mypy]",
        "mypy_path",
        lambda services: [
            *(f"libs/{name.replace('_', '-')}/src" for name in _LIBRARIES),
            *(f"services/{name}/src" for name in services),
        ],
    ),
    _Array("[tool.coverage.run]", "source_pkgs", lambda services: [*_LIBRARIES, *services]),
    _Array("[tool.importlinter]", "root_packages", lambda services: [*_LIBRARIES, *services]),
    _Array(_contract("Services never import each other"), "modules", lambda services: services),
    _Array(
        _contract("The shared package imports no service"),
        "forbidden_modules",
        lambda services: services,
    ),
    _Array(
        _contract("Use cases know no framework and no vendor"),
        "source_modules",
        lambda services: [f"{name}.service" for name in services],
    ),
    _Array(
        _contract("routes -> service -> repository -> models, in every service"),
        "containers",
        lambda services: services,
    ),
    _Array(
        _contract("Only one module knows arq"),
        "source_modules",
        lambda services: [*_LIBRARIES, *services],
    ),
    _Array(
        _contract("What an image holds never imports the laptop stack or the operators' commands"),
        "source_modules",
        lambda services: ["twelvefold", *services],
    ),
)


def write_pyproject(text: str, services: Mapping[str, Service]) -> str:
    """Return the file with the arrays that name every service."""
    for array in _ARRAYS:
        text = array.write(text, sorted(services))
    return text
