"""The paths where a checkout keeps the state of its stack, all under `.twelvefold/`."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twelvefold_dev.servers.server import StackError
from twelvefold_dev.system.system_user import OUTSIDE_PREFIX


@dataclass(frozen=True, slots=True)
class Checkout:
    """The paths of one checkout. Reading a path creates nothing; `create` makes directories."""

    root: Path

    @classmethod
    def find(cls, start: Path) -> Checkout:
        """Return the checkout that contains `start`. Raises StackError where there is none."""
        for directory in (start, *start.parents):
            if (directory / "libs/twelvefold/src/twelvefold").is_dir() and (
                directory / "services"
            ).is_dir():
                return cls(directory)
        raise StackError("not inside a checkout of the suite: change to its directory first")

    @property
    def state(self) -> Path:
        return self.root / ".twelvefold"

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
        """Create the directories of the stack. Raises OSError where that fails."""
        # The system user of PostgreSQL must be able to enter; secret files have their own mode.
        for directory in (self.state, self.data):
            directory.mkdir(exist_ok=True)
        for directory in (self.logs, self.run, self.mail):
            directory.mkdir(exist_ok=True, mode=0o700)


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
