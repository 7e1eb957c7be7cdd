"""Restore a backup into an empty database, or in place of the present data if requested.

Before it changes anything, a restore requires that the dump is undamaged, that no process of the
suite runs, and that the database is empty or may be replaced. Jobs that ran at the time of the
backup run again once their leases have expired, as after a crash.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import asyncpg

from twelvefold.database.migrations import bootstrap
from twelvefold.database.revisions import Migrations
from twelvefold.storage.object_store import ObjectStore

from .archive import Archive
from .backup import (
    CONTENT,
    DUMP,
    MANIFEST,
    OBJECTS,
    BackupError,
    Manifest,
    Report,
    count_rows,
    open_connection,
)
from .postgres_tools import run_tool

_RUNNING_PROCESSES_QUERY = """
SELECT DISTINCT application_name FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'twelvefold-%@%'
"""
_TABLE_COUNT_QUERY = "SELECT count(*) FROM pg_tables WHERE schemaname = ANY ($1)"


async def restore_backup(
    url: str,
    schemas: Sequence[Migrations],
    archive: Archive,
    *,
    passwords: Mapping[str, str],
    store: ObjectStore | None,
    replace: bool,
    report: Report,
) -> Manifest:
    """Restore `archive` into the database of `url`, whose role must be able to create roles.

    `passwords` holds a password for each role, as for bootstrap. Objects that `store` lacks are
    copied from the archive where it has copies, and counted as missing otherwise. `replace`
    deletes the present data first. Raises BackupError, DependencyUnavailable.
    """
    async with archive.read(MANIFEST) as chunks:
        manifest = Manifest.parse(b"".join([chunk async for chunk in chunks]))
    names = [entry.schema for entry in schemas]
    if unknown := _find_unknown_revision(manifest, schemas):
        raise BackupError(f"{unknown} is from a newer release: restore with that release")
    with tempfile.TemporaryDirectory(prefix="twelvefold-restore-") as folder:
        dump = Path(folder) / DUMP
        await _fetch_dump(archive, manifest, dump)
        report(f"{DUMP} is undamaged: {manifest.dump_bytes} bytes of {manifest.created_at}")
        async with open_connection(url) as connection:
            await _require_restorable(connection, names, replace=replace)
            await bootstrap(url, schemas, passwords)
            # The dump contains the schemas with their owners and grants.
            for name in names:
                await connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")
        report("restoring the database")
        await run_tool("pg_restore", url, ["--exit-on-error", "--single-transaction", str(dump)])
    await bootstrap(url, schemas, passwords)
    async with open_connection(url) as connection:
        await connection.execute("ANALYZE")
        rows = await count_rows(connection, names)
    if rows != manifest.rows:
        differing = [name for name in manifest.rows if rows.get(name) != manifest.rows[name]]
        raise BackupError(f"restored row counts differ from the backup: {', '.join(differing)}")
    report(f"{sum(rows.values())} rows of {len(rows)} tables")
    if store is not None and manifest.objects is not None:
        await _restore_objects(archive, manifest, store, report)
    return manifest


def _find_unknown_revision(manifest: Manifest, schemas: Sequence[Migrations]) -> str | None:
    """Return the schema and revision that this release does not know; None if it knows all."""
    known = {entry.schema: entry.revisions for entry in schemas}
    for schema, revision in manifest.schemas.items():
        if revision not in known.get(schema, []):
            return f"schema {schema} at revision {revision}"
    return None


async def _fetch_dump(archive: Archive, manifest: Manifest, target: Path) -> None:
    digest = hashlib.sha256()
    async with archive.read(DUMP) as chunks:
        with target.open("wb") as file:
            async for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
    if digest.hexdigest() != manifest.dump_sha256:
        raise BackupError(f"{DUMP} is damaged: its checksum differs from that in {MANIFEST}")


async def _require_restorable(
    connection: asyncpg.Connection[asyncpg.Record], names: Sequence[str], *, replace: bool
) -> None:
    if running := [
        row["application_name"] for row in await connection.fetch(_RUNNING_PROCESSES_QUERY)
    ]:
        raise BackupError(f"stop every process of the suite first: {', '.join(sorted(running))}")
    if not replace and await connection.fetchval(_TABLE_COUNT_QUERY, list(names)):
        raise BackupError("the database is not empty: --replace deletes its data first")


async def _restore_objects(
    archive: Archive, manifest: Manifest, store: ObjectStore, report: Report
) -> None:
    """Copy the objects that `store` lacks from the archive, or count them as missing."""
    missing = restored = 0
    async for key, size in _list_objects(archive):
        stat = await store.stat(key)
        if stat is not None and stat.size == size:
            continue
        if not manifest.objects_copied:
            missing += 1
            continue
        async with archive.read(CONTENT + key) as chunks:
            await store.put(key, chunks, _content_type(key))
        restored += 1
    report(f"{manifest.objects} objects: {restored} restored, {missing} missing")
    if missing:
        report("the job objects.sweep repairs or rejects images whose objects are missing")


async def _list_objects(archive: Archive) -> AsyncIterator[tuple[str, int]]:
    """Yield key and size of each object in the backup."""
    async with archive.read(OBJECTS) as chunks:
        rest = b""
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                entry = json.loads(line)
                yield entry["key"], entry["size"]


def _content_type(key: str) -> str:
    return "image/webp" if key.endswith(".webp") else "application/octet-stream"
