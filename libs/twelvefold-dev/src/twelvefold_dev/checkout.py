"""Where a checkout keeps the state of its stack: everything under `.twelvefold/`."""

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
    """Paths only; nothing is created by asking for one."""

    root: Path

    @classmethod
    def find(cls, start: Path) -> Checkout:
        """The checkout that `start` lies in. Raises StackError where there is none."""
        for directory in (start, *start.parents):
            if (directory / "libs/twelvefold/src/twelvefold").is_dir() and (
                directory / "services"
            ).is_dir():
                return cls(directory)
        raise StackError("not inside a checkout of the suite: change to one first")

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
        """What the console keeps over runs; it can do without."""
        return self.state / "console"

    @property
    def run(self) -> Path:
        """What lives as long as one run: lock, control socket, pids."""
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
        """Remembers those outside of `.twelvefold/`."""
        outside = [str(home) for home in homes if not home.is_relative_to(self.state)]
        if outside:
            write_private(self._outside, outside)

    def delete(self) -> None:
        """Everything that the stack has kept, wherever. Raises OSError."""
        for entry in read_json(self._outside) or []:
            home = Path(entry)
            if home.parent.name.startswith(OUTSIDE_PREFIX):
                shutil.rmtree(home.parent, ignore_errors=True)
        if self.state.exists():
            shutil.rmtree(self.state)

    def create(self) -> None:
        # PostgreSQL's own user must be able to enter; what is secret has a mode of its own.
        for directory in (self.state, self.data):
            directory.mkdir(exist_ok=True)
        for directory in (self.logs, self.run, self.mail):
            directory.mkdir(exist_ok=True, mode=0o700)


def write_private(path: Path, content: Any) -> None:
    """JSON for the owner's eyes, replaced as a whole: a reader never sees half of it."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    Path(name).replace(path)


def read_json(path: Path) -> Any:
    """None where there is no such file. Raises StackError where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StackError(
            f"{path} cannot be read ({error}); `twelvefold reset` starts anew"
        ) from error
