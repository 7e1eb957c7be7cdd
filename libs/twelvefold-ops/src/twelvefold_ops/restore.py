"""Brings a backup back: into an empty database, or in place of what is there if that is asked.

Owns the order, and what has to be true before anything is touched: the dump is whole, no process
of the suite runs, nothing is overwritten unasked. Jobs that ran when the backup was made are taken
up again once their leases have expired, as after any crash.
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
    counts,
    open_connection,
)
from .postgres_tools import run

_RUNNING = """
SELECT DISTINCT application_name FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'twelvefold-%@%'
"""
_TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = ANY ($1)"


async def restore(
    url: str,
    schemas: Sequence[Migrations],
    archive: Archive,
    *,
    passwords: Mapping[str, str],
    store: ObjectStore | None,
    replace: bool,
    report: Report,
) -> Manifest:
    """Restores into the database of `url`, as a role that may create roles.

    `passwords` is by role, as for bootstrap. `store`: puts copied objects back where they are
    missing, and names what is missing otherwise. Raises BackupError before anything is touched,
    or after what was done was undone; DependencyUnavailable.
    """
    async with archive.read(MANIFEST) as chunks:
        manifest = Manifest.parse(await _whole(chunks))
    names = [entry.schema for entry in schemas]
    if unknown := _newer(manifest, schemas):
        raise BackupError(f"{unknown} is newer than this release: restore with that one's")
    with tempfile.TemporaryDirectory(prefix="twelvefold-restore-") as folder:
        dump = Path(folder) / DUMP
        await _fetch(archive, manifest, dump)
        report(f"{DUMP} is whole: {manifest.dump_bytes} bytes of {manifest.created_at}")
        async with open_connection(url) as connection:
            await _require_free(connection, names, replace=replace)
            await bootstrap(url, schemas, passwords)
            # The dump brings the schemas with their owners and grants.
            for name in names:
                await connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")
        report("restoring the database")
        await run("pg_restore", url, ["--exit-on-error", "--single-transaction", str(dump)])
    await bootstrap(url, schemas, passwords)
    async with open_connection(url) as connection:
        await connection.execute("ANALYZE")
        found = await counts(connection, names)
    if found != manifest.rows:
        off = [name for name in manifest.rows if found.get(name) != manifest.rows[name]]
        raise BackupError(f"not every row came back: {', '.join(off)}")
    report(f"{sum(found.values())} rows of {len(found)} tables")
    if store is not None and manifest.objects is not None:
        await _objects(archive, manifest, store, report)
    return manifest


async def _whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def _newer(manifest: Manifest, schemas: Sequence[Migrations]) -> str | None:
    """A revision of the backup that this release does not know."""
    known = {entry.schema: entry.revisions for entry in schemas}
    for schema, revision in manifest.schemas.items():
        if revision not in known.get(schema, []):
            return f"schema {schema} at revision {revision}"
    return None


async def _fetch(archive: Archive, manifest: Manifest, target: Path) -> None:
    digest = hashlib.sha256()
    async with archive.read(DUMP) as chunks:
        with target.open("wb") as file:
            async for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
    if digest.hexdigest() != manifest.dump_sha256:
        raise BackupError(f"{DUMP} is damaged: it is not what {MANIFEST} says")


async def _require_free(
    connection: asyncpg.Connection[asyncpg.Record], names: Sequence[str], *, replace: bool
) -> None:
    if running := [row["application_name"] for row in await connection.fetch(_RUNNING)]:
        raise BackupError(f"end every process of the suite first: {', '.join(sorted(running))}")
    if not replace and await connection.fetchval(_TABLES, list(names)):
        raise BackupError("the database is not empty: --replace takes the backup in its place")


async def _objects(
    archive: Archive, manifest: Manifest, store: ObjectStore, report: Report
) -> None:
    """Puts back what is missing, or says what is."""
    missing = put = 0
    async for key, size in _listed(archive):
        found = await store.stat(key)
        if found is not None and found.size == size:
            continue
        if not manifest.objects_copied:
            missing += 1
            continue
        async with archive.read(CONTENT + key) as chunks:
            await store.put(key, chunks, _type(key))
        put += 1
    report(f"{manifest.objects} objects: {put} put back, {missing} missing")
    if missing:
        report("images whose objects are missing are mended or refused by the job objects.sweep")


async def _listed(archive: Archive) -> AsyncIterator[tuple[str, int]]:
    async with archive.read(OBJECTS) as chunks:
        rest = b""
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                found = json.loads(line)
                yield found["key"], found["size"]


def _type(key: str) -> str:
    return "image/webp" if key.endswith(".webp") else "application/octet-stream"
