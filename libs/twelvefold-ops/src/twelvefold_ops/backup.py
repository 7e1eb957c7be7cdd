"""A backup: one snapshot of the three schemas, and the objects that their rows name.

The database comes first, then the objects. Objects are immutable, so every object that a row names
is in the backup unless it was deleted meanwhile. A backup leaves out Redis, whose contents can be
rebuilt, and roles and passwords, which `twelvefold db bootstrap` creates.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import asyncpg

from twelvefold.database.client import connect_arguments
from twelvefold.database.revisions import Migrations
from twelvefold.errors import DependencyUnavailable, NotFound, TwelvefoldError
from twelvefold.storage.object_store import ObjectStore

from .archive import Archive
from .postgres_tools import stream_output

FORMAT = 1
MANIFEST, DUMP, OBJECTS = "manifest.json", "database.dump", "objects.jsonl"
CONTENT = "objects/"  # prefix of the copied objects; their keys follow
Report = Callable[[str], None]
_SUITE_QUERY = "SELECT id::text FROM jobs.suite"


class BackupError(TwelvefoldError):
    """A backup that cannot be created or restored. The detail says what to do."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The contents of a backup, with what proves that it is complete. Sizes are in bytes."""

    created_at: str
    version: str
    suite: str
    schemas: dict[str, str]  # revision by schema
    rows: dict[str, int]  # number of rows by table
    dump_bytes: int
    dump_sha256: str
    objects: int | None = None  # number of them; None: left out
    objects_bytes: int = 0
    objects_copied: bool = False
    missing: list[str] = field(default_factory=list)  # objects deleted while they were copied
    format: int = FORMAT

    @classmethod
    def parse(cls, content: bytes) -> Manifest:
        """Parse a manifest. Raises BackupError where it is invalid or of a newer format."""
        try:
            fields: dict[str, Any] = json.loads(content)
            if fields["format"] > FORMAT:
                raise BackupError("the backup is from a newer release: restore with that release")
            return cls(**fields)
        except (ValueError, KeyError, TypeError) as error:
            raise BackupError(f"{MANIFEST} is not a backup's manifest") from error


@asynccontextmanager
async def open_connection(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Connect to PostgreSQL. Raises DependencyUnavailable where it does not answer."""
    target, arguments = connect_arguments(url)
    plain = target.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = await asyncpg.connect(plain, **arguments)
    except (OSError, TimeoutError) as error:
        raise DependencyUnavailable("postgres") from error
    try:
        yield connection
    finally:
        await connection.close()


async def create_backup(
    url: str,
    schemas: Sequence[Migrations],
    archive: Archive,
    *,
    version: str,
    store: ObjectStore | None,
    copy_objects: bool,
    report: Report,
) -> Manifest:
    """Back up the database of `url` into an empty `archive`.

    The role in `url` needs read access to every schema. `store` is the bucket whose objects are
    listed, and copied if `copy_objects`; None leaves objects out. The manifest is written last: an
    archive without one is no backup. Raises BackupError, DependencyUnavailable.
    """
    if not await archive.is_empty():
        raise BackupError("destination not empty: choose another")
    async with (
        open_connection(url) as connection,
        connection.transaction(isolation="repeatable_read"),
    ):
        snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
        suite = await connection.fetchval(_SUITE_QUERY)
        revisions = {entry.schema: await _read_revision(connection, entry) for entry in schemas}
        rows = await count_rows(connection, [entry.schema for entry in schemas])
        report(f"{sum(rows.values())} rows of {len(rows)} tables")
        digest = _StreamDigest()
        selection = [f"--schema={entry.schema}" for entry in schemas]
        chunks = stream_output(
            "pg_dump", url, ["--format=custom", f"--snapshot={snapshot}", *selection]
        )
        await archive.write(DUMP, digest.update_from(chunks))
    report(f"{DUMP}: {digest.size} bytes")
    manifest = Manifest(
        created_at=datetime.now(UTC).isoformat(),
        version=version,
        suite=suite,
        schemas=revisions,
        rows=rows,
        dump_bytes=digest.size,
        dump_sha256=digest.sha256,
    )
    if store is not None:
        manifest = await _add_objects(manifest, archive, store, copy=copy_objects, report=report)
    await archive.write(MANIFEST, _as_stream(json.dumps(asdict(manifest), indent=2).encode()))
    return manifest


async def _read_revision(connection: asyncpg.Connection[asyncpg.Record], entry: Migrations) -> str:
    query = f"SELECT version_num FROM {entry.schema}.alembic_version"  # noqa: S608 (own name)
    try:
        revision: str = await connection.fetchval(query)
    except asyncpg.PostgresError as error:
        raise BackupError(f"schema {entry.schema} is missing or not readable") from error
    return revision


async def count_rows(
    connection: asyncpg.Connection[asyncpg.Record], schemas: Sequence[str]
) -> dict[str, int]:
    """Return the number of rows of every table of `schemas`, by `schema.table`."""
    tables = await connection.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
        "WHERE schemaname = ANY ($1) ORDER BY 1",
        list(schemas),
    )
    names = [row["name"] for row in tables]
    return {
        name: await connection.fetchval(f"SELECT count(*) FROM {name}")  # noqa: S608 (quoted)
        for name in names
    }


async def _add_objects(
    manifest: Manifest, archive: Archive, store: ObjectStore, *, copy: bool, report: Report
) -> Manifest:
    count = size = 0
    missing: list[str] = []

    async def lines() -> AsyncIterator[bytes]:
        nonlocal count, size
        async for entry in store.list(""):
            if copy and not await _copy_object(archive, store, entry.key):
                missing.append(entry.key)
                continue
            count, size = count + 1, size + entry.size
            if count % 1000 == 0:
                report(f"{count} objects")
            line = {"key": entry.key, "size": entry.size, "etag": entry.etag}
            yield json.dumps(line).encode() + b"\n"

    await archive.write(OBJECTS, lines())
    report(f"{count} objects, {size} bytes{'' if copy else ' (listed, not copied)'}")
    return replace(
        manifest, objects=count, objects_bytes=size, objects_copied=copy, missing=missing
    )


async def _copy_object(archive: Archive, store: ObjectStore, key: str) -> bool:
    """Return whether the object still existed."""
    try:
        async with store.open(key) as chunks:
            await archive.write(CONTENT + key, chunks)
    except NotFound:
        return False
    return True


async def _as_stream(content: bytes) -> AsyncIterator[bytes]:
    yield content


class _StreamDigest:
    """Size and SHA-256 of a stream, computed while it is read."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    async def update_from(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self._sha256.update(chunk)
            self.size += len(chunk)
            yield chunk
