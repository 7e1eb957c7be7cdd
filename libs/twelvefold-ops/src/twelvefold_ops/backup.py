"""A backup: the three schemas as of one moment, and the objects that their rows name.

Owns what is in it and in which order. First the database, as of one snapshot, then the objects:
they are never changed, so that every object of a row is there unless it was deleted meanwhile.
Redis holds nothing that is not found again. Roles and passwords are not in it: they are the
platform's, and `twelvefold db bootstrap` makes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
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
CONTENT = "objects/"  # below it lie copies of objects, by their keys
Report = Callable[[str], None]
_SUITE = "SELECT id::text FROM jobs.suite"


class BackupError(TwelvefoldError):
    """A backup that cannot be made or used; the detail says what to do."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds, and by what to see that it is whole. Sizes in bytes."""

    created_at: str
    version: str
    suite: str
    schemas: dict[str, str]  # the revision of each
    rows: dict[str, int]  # of each table
    dump_bytes: int
    dump_sha256: str
    objects: int | None = None  # None: not looked at
    objects_bytes: int = 0
    objects_copied: bool = False
    missing: list[str] = field(default_factory=list)  # objects deleted while they were copied
    format: int = FORMAT

    @classmethod
    def parse(cls, content: bytes) -> Manifest:
        """Raises BackupError for what is none, or of a newer format."""
        try:
            found: dict[str, Any] = json.loads(content)
            if found["format"] > FORMAT:
                raise BackupError("this backup was made by a newer release: restore with that")
            return cls(**found)
        except (ValueError, KeyError, TypeError) as error:
            raise BackupError(f"{MANIFEST} is not that of a backup") from error


@asynccontextmanager
async def open_connection(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Raises DependencyUnavailable where PostgreSQL is away."""
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
    """Makes a backup of `url`, as a role that may read every schema, in an empty `archive`.

    `store`: lists the bucket's objects, and copies them where that is asked. The manifest is
    written last: without one there is no backup. Raises BackupError, DependencyUnavailable.
    """
    if not await archive.is_empty():
        raise BackupError("destination not empty: choose another")
    async with (
        open_connection(url) as connection,
        connection.transaction(isolation="repeatable_read"),
    ):
        snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
        suite = await connection.fetchval(_SUITE)
        revisions = {entry.schema: await _revision(connection, entry) for entry in schemas}
        rows = await counts(connection, [entry.schema for entry in schemas])
        report(f"{sum(rows.values())} rows of {len(rows)} tables")
        digest = _Digest()
        only = [f"--schema={entry.schema}" for entry in schemas]
        dump = stream_output("pg_dump", url, ["--format=custom", f"--snapshot={snapshot}", *only])
        await archive.write(DUMP, digest.through(dump))
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
        manifest = await _with_objects(manifest, archive, store, copy=copy_objects, report=report)
    await archive.write(MANIFEST, _once(json.dumps(asdict(manifest), indent=2).encode()))
    return manifest


async def _revision(connection: asyncpg.Connection[asyncpg.Record], entry: Migrations) -> str:
    query = f"SELECT version_num FROM {entry.schema}.alembic_version"  # noqa: S608 (own name)
    try:
        found: str = await connection.fetchval(query)
    except asyncpg.PostgresError as error:
        raise BackupError(f"schema {entry.schema} is not there, or not readable") from error
    return found


async def counts(
    connection: asyncpg.Connection[asyncpg.Record], schemas: Sequence[str]
) -> dict[str, int]:
    """Rows of every table of `schemas`, by `schema.table`."""
    tables = await connection.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
        "WHERE schemaname = ANY ($1) ORDER BY 1",
        list(schemas),
    )
    return {
        row["name"]: await connection.fetchval(f"SELECT count(*) FROM {row['name']}")  # noqa: S608 (quoted)
        for row in tables
    }


async def _with_objects(
    manifest: Manifest, archive: Archive, store: ObjectStore, *, copy: bool, report: Report
) -> Manifest:
    count = size = 0
    missing: list[str] = []

    async def lines() -> AsyncIterator[bytes]:
        nonlocal count, size
        async for found in store.list(""):
            if copy and not await _copied(archive, store, found.key):
                missing.append(found.key)
                continue
            count, size = count + 1, size + found.size
            if count % 1000 == 0:
                report(f"{count} objects")
            line = {"key": found.key, "size": found.size, "etag": found.etag}
            yield json.dumps(line).encode() + b"\n"

    await archive.write(OBJECTS, lines())
    report(f"{count} objects, {size} bytes{'' if copy else ' (listed, not copied)'}")
    changed: Mapping[str, Any] = {
        "objects": count,
        "objects_bytes": size,
        "objects_copied": copy,
        "missing": missing,
    }
    return Manifest(**{**asdict(manifest), **changed})


async def _copied(archive: Archive, store: ObjectStore, key: str) -> bool:
    try:
        async with store.open(key) as chunks:
            await archive.write(CONTENT + key, chunks)
    except NotFound:
        return False
    return True


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


class _Digest:
    """Of a stream that passes through."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    async def through(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self._sha256.update(chunk)
            self.size += len(chunk)
            yield chunk
