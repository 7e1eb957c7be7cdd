"""What the supervisor tells the console's process: one file, for the owner's eyes alone.

A file, since it holds secrets: command lines and environments can be read by others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from twelvefold_dev.checkout import Checkout, read_json, write_private
from twelvefold_dev.servers.server import StackError

FILE = "console.json"


def link(url: str, token: str) -> str:
    """Return the page's URL with its token. A fragment reaches no server and no log."""
    return f"{url}/#token={token}"


@dataclass(frozen=True, slots=True)
class ConsoleConfig:
    """One start of the stack. Secrets are in `token`, in both URLs and in `endpoints`."""

    root: str  # of the checkout
    descriptor: int  # the listening socket
    url: str
    token: str  # of the checkout, which every read and write requires
    started: float  # seconds since the epoch
    services: tuple[str, ...]
    jobs_url: str  # PostgreSQL, as the worker's role
    redis_url: str
    traces_to: str  # where the services send their spans
    endpoints: Mapping[str, Any]  # as endpoints.json has them
    mail_folder: str | None  # None: mail goes to a server of the environment

    @property
    def checkout(self) -> Checkout:
        return Checkout(Path(self.root))

    @property
    def link(self) -> str:
        return link(self.url, self.token)

    @property
    def receives(self) -> bool:
        """Whether the services' spans come here, and not to a collector of the user's own."""
        return self.traces_to.rstrip("/") == self.url

    def write(self, run: Path) -> Path:
        path = run / FILE
        write_private(path, asdict(self))
        return path

    @classmethod
    def read(cls, path: Path) -> ConsoleConfig:
        """Raises StackError where there is none that can be read."""
        found = read_json(path)
        if found is None:
            raise StackError(f"there is no {path}")
        try:
            return cls(**{**found, "services": tuple(found["services"])})
        except (TypeError, KeyError) as error:
            raise StackError(f"{path} is of another version: {error}") from error
