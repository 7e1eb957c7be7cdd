"""The configuration of the console's process, which the supervisor writes to a private file.

It contains secrets, and other processes could read command lines and environments.
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
    """The configuration of one start. `token`, both URLs and `endpoints` contain secrets."""

    root: str  # of the checkout
    descriptor: int  # the listening socket
    url: str
    token: str  # of the checkout, which every read and write requires
    started: float  # seconds since the epoch
    services: tuple[str, ...]
    links: Mapping[str, Mapping[str, str]]  # by service: paths of its public listener by title
    jobs_url: str  # PostgreSQL with the worker's role
    redis_url: str
    traces_to: str  # the URL to which the services send their spans
    endpoints: Mapping[str, Any]  # the content of endpoints.json
    mail_folder: str | None  # None: an external server receives the emails

    @property
    def checkout(self) -> Checkout:
        return Checkout(Path(self.root))

    @property
    def link(self) -> str:
        return link(self.url, self.token)

    @property
    def receives(self) -> bool:
        """Whether the services send their spans to the console, not to an external collector."""
        return self.traces_to.rstrip("/") == self.url

    def write(self, run: Path) -> Path:
        """Write the configuration into the directory `run` and return the file's path."""
        path = run / FILE
        write_private(path, asdict(self))
        return path

    @classmethod
    def read(cls, path: Path) -> ConsoleConfig:
        """Read a configuration. Raises StackError where the file is missing or invalid."""
        content = read_json(path)
        if content is None:
            raise StackError(f"{path} does not exist")
        try:
            return cls(**{**content, "services": tuple(content["services"])})
        except (TypeError, KeyError) as error:
            raise StackError(f"{path} is from another version: {error}") from error
