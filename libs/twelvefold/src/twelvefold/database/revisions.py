"""A service's schema and its revisions; `migrations` applies them.

Revisions are linear, numbered files (`0001_name.py`, revision "0001"), so that a serving process
knows its head without loading Alembic. A contract step, which removes something after an
expansion, names the first revision whose release no longer uses it: `contract_after = "0007"`.
This module must import quickly: the command line and the supervisor load the `Migrations` of every
service.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from twelvefold.errors import TwelvefoldError

_REVISION_FILE = re.compile(r"^(\d{4})_\w+\.py$")


class SchemaError(TwelvefoldError):
    """A migration or a bootstrap that cannot continue; the detail says what to do."""

    status, code, title = 500, "schema", "The schema cannot be changed"


@dataclass(frozen=True, slots=True)
class Migrations:
    """One service's schema and the package that holds its revisions (`versions/NNNN_*.py`)."""

    service: str
    schema: str
    package: str
    # Lower orders migrate first where one process migrates several schemas.
    order: int = 0
    # Whether the service runs jobs on a queue of its own: then its role may change their rows.
    runs_jobs: bool = False

    @property
    def owner_role(self) -> str:
        return f"{self.service}_owner"

    @property
    def app_role(self) -> str:
        return f"{self.service}_app"

    @property
    def rotation_role(self) -> str:
        """A role with the app role's rights: two passwords are valid during a rotation."""
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
        return sorted(match[1] for name in names if (match := _REVISION_FILE.match(name)))

    @property
    def application_name(self) -> str:
        """The name of a process's connections, at most 63 bytes.

        It lists the schemas that the process uses and the newest revision of each that it knows.
        """
        known = dict.fromkeys(
            f"{entry.schema}:{entry.revisions[-1]}" for entry in (self, JOBS_MIGRATIONS)
        )
        return f"twelvefold-{self.service}@{','.join(known)}"


# Every service inserts jobs and reads their view, so this package holds the revisions. The release
# of worker alone applies them, as `worker_owner`.
JOBS_MIGRATIONS = Migrations(
    service="worker", schema="jobs", package="twelvefold.jobs.migrations", order=0
)


def migrations_by_service() -> dict[str, Migrations]:
    """Return the migrations of every installed service with a schema by its name, in order."""
    services = [entry.load() for entry in entry_points(group="twelvefold.services")]
    owners = [service for service in services if service.migrations is not None]
    owners.sort(key=lambda service: (service.migrations.order, service.name))
    return {service.name: service.migrations for service in owners}


def installed_migrations() -> list[Migrations]:
    """Return the migrations of every installed service with a schema, in order."""
    return list(migrations_by_service().values())
