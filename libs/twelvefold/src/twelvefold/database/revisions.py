"""Where a service's schema and its revisions are; what to do with them is in `migrations`.

Revisions are numbered files (`0001_name.py`, revision "0001"), linear, so that a serving process
can tell its head without loading Alembic. One that takes something away (the contract step after
an expansion) says from which revision on a release does without it: `contract_after = "0007"`. Imports nothing heavy: every service declares its
`Migrations` beside its `Service`, and the command line and the supervisor load all of them.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from twelvefold.errors import TwelvefoldError

# Every service inserts jobs and reads their view: the revision of schema `jobs` that this package
# was written for. A test holds it against the worker's own.
JOBS_SCHEMA, JOBS_REVISION = "jobs", "0004"
_REVISION_FILE = re.compile(r"^(\d{4})_\w+\.py$")


class SchemaError(TwelvefoldError):
    """A migration or a bootstrap that cannot go on; the detail says what to do."""

    status, code, title = 500, "schema", "The schema cannot be changed"


@dataclass(frozen=True, slots=True)
class Migrations:
    """One service's schema and the package that holds its revisions (`versions/NNNN_*.py`)."""

    service: str
    schema: str
    package: str
    # Lower migrates first where several run in one process: jobs, then users, then api.
    order: int = 0

    @property
    def owner_role(self) -> str:
        return f"{self.service}_owner"

    @property
    def app_role(self) -> str:
        return f"{self.service}_app"

    @property
    def rotation_role(self) -> str:
        """Logs in with the app role's rights, so that two passwords are valid while one is rotated."""
        return f"{self.app_role}_b"

    @property
    def location(self) -> Path:
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise SchemaError(f"package {self.package} holds no migrations")
        return Path(next(iter(spec.submodule_search_locations)))

    @property
    def revisions(self) -> list[str]:
        """Every revision that this release knows, oldest first."""
        names = (path.name for path in (self.location / "versions").iterdir())
        return sorted(found[1] for name in names if (found := _REVISION_FILE.match(name)))

    @property
    def application_name(self) -> str:
        """What a running process says of itself on its connections (`application_name`, at most
        63 bytes): which schemas it works with and the newest revision of each that it knows.
        """
        known = dict.fromkeys(
            [f"{self.schema}:{self.revisions[-1]}", f"{JOBS_SCHEMA}:{JOBS_REVISION}"]
        )
        return f"twelvefold-{self.service}@{','.join(known)}"


def migrations_by_service() -> dict[str, Migrations]:
    """Return by name the migrations of every installed service that has a schema, in order."""
    services = [entry.load() for entry in entry_points(group="twelvefold.services")]
    owners = [service for service in services if service.migrations is not None]
    owners.sort(key=lambda service: (service.migrations.order, service.name))
    return {service.name: service.migrations for service in owners}


def installed_migrations() -> list[Migrations]:
    """Return the migrations of every installed service that has a schema, in order."""
    return list(migrations_by_service().values())
