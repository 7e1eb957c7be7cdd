"""Record of the prepared schemas, which saves most starts the run of the migrations.

A process with SQLAlchemy and Alembic takes two seconds of processor time even where the schemas
are up to date. This module decides that without importing either.
"""

from __future__ import annotations

import hashlib
import json
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import twelvefold
from twelvefold_dev.checkout import read_json, write_private
from twelvefold_dev.servers.postgres import PostgresServer
from twelvefold_dev.servers.server import Server, ServerFailed
from twelvefold_dev.system.child_process import ChildProcess, Launch

if TYPE_CHECKING:
    from twelvefold.database.revisions import Migrations
    from twelvefold.service.definition import Service

SCHEMAS = "schemas"
# The modules that bootstrap and migrate; a change of them invalidates the record.
_CODE = ("database/migrations.py", "database/revisions.py")


async def migrate(environment: Mapping[str, str], directory: Path, output: int) -> None:
    """Run `schema_setup` in its own process. Raises ServerFailed where it fails."""
    command = [sys.executable, "-P", "-m", "twelvefold_dev.environment.schema_setup"]
    child = ChildProcess(Launch(command, environment, directory, output))
    try:
        code = await child.wait()
    finally:
        await child.stop(((signal.SIGTERM, 5.0),))
    if code != 0:
        raise ServerFailed(SCHEMAS, "could not be migrated")


class SchemaRecord:
    """The fingerprint of the schemas that were prepared last, stored in `path`."""

    def __init__(
        self,
        path: Path,
        postgres: Server,
        services: Mapping[str, Service],
        passwords: Mapping[str, str],
    ) -> None:
        """`passwords` contains the password of each database role."""
        self._path = path
        self._postgres = postgres
        self._schemas = [entry.migrations for entry in services.values() if entry.migrations]
        self._passwords = passwords

    def exists(self) -> bool:
        return self._path.exists()

    async def is_current(self) -> bool:
        """Return whether the same revisions and roles were prepared on this data and still exist.

        Requires a running PostgreSQL.
        """
        record = read_json(self._path)
        return (
            record is not None
            and record.get("prepared") == self._fingerprint()
            and await self._is_at_head()
        )

    async def _is_at_head(self) -> bool:
        if not isinstance(self._postgres, PostgresServer):
            return False
        heads = sorted(f"{entry.schema} {entry.revisions[-1]}" for entry in self._schemas)
        versions = " UNION ALL ".join(
            f"SELECT '{entry.schema} ' || version_num FROM {entry.schema}.alembic_version"  # noqa: S608 (constants)
            for entry in self._schemas
        )
        return sorted(await self._postgres.query_lines(versions)) == heads

    def save(self) -> None:
        """Record that the schemas are prepared."""
        write_private(self._path, {"prepared": self._fingerprint()})

    def _fingerprint(self) -> str:
        inputs = [self._cluster(), dict(self._passwords)]
        digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode())
        for path in self._sources():
            digest.update(str(path).encode() + path.read_bytes())
        return digest.hexdigest()

    def _cluster(self) -> list[int]:
        """Return the identity of the data directory, which differs after a reset."""
        if not isinstance(self._postgres, PostgresServer):
            return []
        try:
            status = (self._postgres.data / "PG_VERSION").stat()
        except OSError:
            return []
        return [status.st_ino, status.st_mtime_ns]

    def _sources(self) -> Iterable[Path]:
        package = Path(next(iter(twelvefold.__path__)))
        yield from (package / name for name in _CODE)
        for entry in self._schemas:
            yield from _revisions(entry)


def _revisions(migrations: Migrations) -> list[Path]:
    return sorted(path for path in migrations.location.rglob("*.py") if path.is_file())
