"""A project whose services a stack runs, and where it keeps the state: all under `.twelvefold/`.

The table `[tool.twelvefold]` in a pyproject.toml makes its folder such a project.
"""

from __future__ import annotations

import difflib
import json
import os
import shutil
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twelvefold_dev.servers.server import StackError
from twelvefold_dev.system.system_user import OUTSIDE_PREFIX

STATE = ".twelvefold"
RECORDER_SOCKET = f"{STATE}/run/recorder.sock"  # relative to the checkout
PROJECT = "pyproject.toml"
TABLE = "twelvefold"
_SHARED = "shared"  # the only key of the table


@dataclass(frozen=True, slots=True)
class Checkout:
    """The paths of one checkout. Reading a path creates nothing; `create` makes directories.

    `shared` are the folders of sources whose changes restart every service.
    """

    root: Path
    shared: tuple[Path, ...] = ()

    @classmethod
    def find(cls, start: Path) -> Checkout:
        """Return the checkout that contains `start`.

        Raises StackError where there is none, or where its table has an unknown key.
        """
        for directory in (start, *start.parents):
            table = _read_table(directory / PROJECT)
            if table is not None:
                shared = _parse_table(directory / PROJECT, table)
                return cls(directory, tuple(directory / folder for folder in shared))
        raise StackError(
            f"no project here: neither this folder nor one above it has a {PROJECT} "
            f"with a table [tool.{TABLE}]"
        )

    @property
    def state(self) -> Path:
        return self.root / STATE

    @property
    def data(self) -> Path:
        return self.state / "data"

    @property
    def mail(self) -> Path:
        return self.state / "mail"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def console(self) -> Path:
        """The console's cache of earlier runs. It may be deleted."""
        return self.state / "console"

    @property
    def run(self) -> Path:
        """Files of one run: lock, control socket, process ids."""
        return self.state / "run"

    @property
    def secrets(self) -> Path:
        return self.state / "secrets.json"

    @property
    def endpoints(self) -> Path:
        return self.state / "endpoints.json"

    @property
    def ports(self) -> Path:
        return self.state / "ports.json"

    @property
    def schemas(self) -> Path:
        return self.state / "schemas.json"

    @property
    def demo(self) -> Path:
        return self.state / "demo.json"

    @property
    def _outside(self) -> Path:
        return self.state / "outside.json"

    def note_homes(self, homes: list[Path]) -> None:
        """Record the data directories outside of `.twelvefold/`, which `delete` also removes."""
        outside = [str(home) for home in homes if not home.is_relative_to(self.state)]
        if outside:
            write_private(self._outside, outside)

    def delete(self) -> None:
        """Delete all data of the stack, wherever it is. Raises OSError where that fails."""
        for entry in read_json(self._outside) or []:
            home = Path(entry)
            if home.parent.name.startswith(OUTSIDE_PREFIX):
                shutil.rmtree(home.parent, ignore_errors=True)
        if self.state.exists():
            shutil.rmtree(self.state)

    def create(self) -> None:
        """Create the directories of the stack. Raises StackError where that fails."""
        # The system user of PostgreSQL must be able to enter; secret files have their own mode.
        try:
            for directory in (self.state, self.data):
                directory.mkdir(exist_ok=True)
            for directory in (self.logs, self.run, self.mail):
                directory.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise StackError(
                f"the stack keeps its data in {self.state}, which cannot be created: "
                f"{error.strerror or error}"
            ) from error


def _read_table(path: Path) -> dict[str, Any] | None:
    """Return the table of a pyproject.toml, or None where it has none or does not exist."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise StackError(f"{path} cannot be read: {error}") from error
    table: dict[str, Any] | None = content.get("tool", {}).get(TABLE)
    return table


def _parse_table(path: Path, table: dict[str, Any]) -> list[str]:
    """Return the folders of key `shared`. Raises StackError for another key or type."""
    for key in table:
        if key != _SHARED:
            near = difflib.get_close_matches(key, [_SHARED], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise StackError(f"{path}: [tool.{TABLE}] has no key {key}{hint}")
    shared = table.get(_SHARED, [])
    if not isinstance(shared, list) or not all(isinstance(folder, str) for folder in shared):
        raise StackError(f"{path}: {_SHARED} of [tool.{TABLE}] is not a list of folders")
    return shared


def write_private(path: Path, content: Any) -> None:
    """Replace `path` atomically with `content` as JSON, readable by its owner only."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    Path(name).replace(path)


def read_json(path: Path) -> Any:
    """Return the JSON content of `path`, or None where the file does not exist.

    Raises StackError where it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StackError(
            f"{path} cannot be read ({error}); `twelvefold reset` deletes all local data"
        ) from error
