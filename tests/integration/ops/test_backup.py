"""Backup and restore: all data returns, and no completed job runs again."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from tests.integration.jobs.workbench import (
    NOWHERE,
    Workbench,
    open_database,
    registry_of,
)
from typer.testing import CliRunner

from twelvefold.database.revisions import installed_migrations
from twelvefold.identifiers import new_id
from twelvefold.settings import ObjectStoreSettings
from twelvefold.storage.object_store import S3ObjectStore
from twelvefold_dev.servers.object_store import create_bucket
from twelvefold_dev.servers.object_store_access import S3Credentials
from twelvefold_ops import postgres_tools
from twelvefold_ops.archive import ArchiveError, BucketArchive, DirectoryArchive
from twelvefold_ops.backup import DUMP, MANIFEST, BackupError, create_backup
from twelvefold_ops.cli import app
from twelvefold_ops.restore import restore_backup

USERS, IMAGES, JOBS = 1000, 200, 60
SCHEMAS = installed_migrations()
PASSWORDS = {
    role: f"{role}-test-password"  # one password for the whole test run: roles belong to the server
    for entry in SCHEMAS
    for role in (entry.owner_role, entry.app_role)
}
INSERT_USERS = """
INSERT INTO users.accounts (id, email, email_key, name, role, password_hash)
SELECT gen_random_uuid(), n || '@drill.example', n || '@drill.example', 'Drill ' || n, 'user', '-'
FROM generate_series(1, $1) AS n
"""
INSERT_IMAGE = """
INSERT INTO api.images (id, owner_id, status, object_key, content_type, size, sha256)
VALUES ($1, gen_random_uuid(), 'processing', $2, 'image/png', $3, 'x')
"""


async def stream(content: bytes) -> AsyncIterator[bytes]:
    yield content


@pytest.fixture
async def new_store(s3_settings) -> AsyncIterator[Any]:
    """Create stores, each on its own bucket."""
    stores: list[S3ObjectStore] = []

    async def create() -> S3ObjectStore:
        settings = {**s3_settings, "s3_bucket": f"drill-{uuid.uuid4().hex[:12]}"}
        credentials = S3Credentials(settings["s3_access_key_id"], settings["s3_secret_access_key"])
        assert await create_bucket(settings["s3_endpoint"], credentials, settings["s3_bucket"])
        stores.append(S3ObjectStore(ObjectStoreSettings(environment="testing", **settings)))
        return stores[-1]

    yield create
    for store in stores:
        await store.aclose()


@pytest.fixture
async def source(new_database) -> AsyncIterator[Workbench]:
    """A database with accounts, into which tests add images and jobs."""
    database = await new_database()
    sql = await asyncpg.connect(database.superuser_url)
    producer = open_database(database.url("api_app"))
    worker = open_database(database.url("worker_app"))
    await sql.execute(INSERT_USERS, USERS)
    yield Workbench(producer, worker, sql, NOWHERE)
    for opened in (producer, worker):
        await opened.aclose()
    await sql.close()


@pytest.fixture
async def empty_url(postgres_superuser_url) -> AsyncIterator[str]:
    """An empty database, as on a new server."""
    name = f"restored_{uuid.uuid4().hex[:8]}"
    admin = await asyncpg.connect(postgres_superuser_url)
    await admin.execute(f"CREATE DATABASE {name}")
    yield f"{postgres_superuser_url.rpartition('/')[0]}/{name}"
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
def source_url(source, postgres_superuser_url) -> str:
    name = source.producer.engine.url.database
    return f"{postgres_superuser_url.rpartition('/')[0]}/{name}"


async def make_backup(url: str, archive, store=None, *, copy: bool = False):
    return await create_backup(
        url,
        SCHEMAS,
        archive,
        version="test",
        store=store,
        copy_objects=copy,
        report=lambda _: None,
    )


async def restore_from(url: str, archive, store=None, *, replace: bool = False, schemas=SCHEMAS):
    return await restore_backup(
        url,
        schemas,
        archive,
        passwords=PASSWORDS,
        store=store,
        replace=replace,
        report=lambda _: None,
    )


@pytest.mark.timeout(240)
async def test_a_restore_drill_loses_nothing_and_runs_no_job_twice(
    source, source_url, empty_url, new_store, tmp_path
):
    before, after = await new_store(), await new_store()
    contents = {f"uploads/{new_id()}": f"image {n}".encode() for n in range(IMAGES)}
    for key, content in contents.items():
        await before.put(key, stream(content), "image/png")
        await source.sql.execute(INSERT_IMAGE, new_id(), key, len(content))
    ran: dict[str, list[Any]] = {"before": [], "after": []}
    release = asyncio.Event()
    phase = "before"

    async def work(job, payload):
        ran[phase].append(job.id)
        if payload.name == "long":
            await release.wait()

    completed = [await source.enqueue() for _ in range(JOBS)]
    registry = registry_of(work, timeout=60)
    archive = DirectoryArchive(tmp_path / "backup")
    async with source.running(registry, lease=2.0):
        await source.becomes("succeeded", *completed)
        running = [await source.enqueue("long") for _ in range(5)]
        await source.becomes("running", *running)
        waiting = [await source.enqueue("long") for _ in range(JOBS)]
        manifest = await make_backup(source_url, archive, before, copy=True)
        release.set()
    assert (manifest.rows["users.accounts"], manifest.objects) == (USERS, IMAGES)

    phase = "after"
    await restore_from(empty_url, archive, after)
    for key, content in contents.items():
        async with after.open(key) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == content
    sql = await asyncpg.connect(empty_url)
    for table, count in {"users.accounts": USERS, "api.images": IMAGES}.items():
        assert await sql.fetchval(f"SELECT count(*) FROM {table}") == count
    assert await sql.fetchval("SELECT id FROM jobs.suite") == await source.sql.fetchval(
        "SELECT id FROM jobs.suite"
    )

    def url(role: str) -> str:
        address = empty_url.rpartition("@")[2]
        return f"postgresql://{role}:{PASSWORDS[role]}@{address}"

    producer, worker = open_database(url("api_app")), open_database(url("worker_app"))
    bench = Workbench(producer, worker, sql, NOWHERE)
    async with bench.running(registry, lease=2.0), bench.maintenance().running():
        await bench.becomes("succeeded", *running, *waiting)
    assert sorted(ran["after"]) == sorted([*running, *waiting]), (
        "every unfinished job runs once, and no other job runs"
    )
    assert set(ran["before"]) >= set(completed)
    for opened in (producer, worker):
        await opened.aclose()
    await sql.close()


async def test_a_backup_in_a_bucket_is_restored_from_there(
    source, source_url, empty_url, new_store
):
    store = await new_store()
    await make_backup(source_url, BucketArchive(store, "backups/monday/"))
    manifest = await restore_from(empty_url, BucketArchive(store, "backups/monday/"))
    assert manifest.rows["users.accounts"] == USERS


async def test_objects_that_were_only_listed_are_reported_where_they_are_missing(
    source, source_url, empty_url, new_store, tmp_path
):
    store = await new_store()
    await store.put("uploads/a", stream(b"there"), "image/png")
    archive = DirectoryArchive(tmp_path / "backup")
    await make_backup(source_url, archive, store)
    assert not (tmp_path / "backup/objects").exists()
    lines: list[str] = []
    await store.delete("uploads/a")
    await restore_backup(
        empty_url,
        SCHEMAS,
        archive,
        passwords=PASSWORDS,
        store=store,
        replace=False,
        report=lines.append,
    )
    assert "1 objects: 0 restored, 1 missing" in lines


async def test_a_restore_overwrites_data_only_with_replace(source, source_url, empty_url, tmp_path):
    archive = DirectoryArchive(tmp_path / "backup")
    await make_backup(source_url, archive)
    with pytest.raises(BackupError, match="not empty"):
        await make_backup(source_url, archive)
    await restore_from(empty_url, archive)
    with pytest.raises(BackupError, match="--replace"):
        await restore_from(empty_url, archive)
    sql = await asyncpg.connect(empty_url)
    await sql.execute("DELETE FROM users.accounts")
    await restore_from(empty_url, archive, replace=True)
    assert await sql.fetchval("SELECT count(*) FROM users.accounts") == USERS
    await sql.close()


async def test_a_damaged_dump_changes_nothing(source, source_url, empty_url, tmp_path):
    archive = DirectoryArchive(tmp_path / "backup")
    await make_backup(source_url, archive)
    dump = tmp_path / "backup" / DUMP
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)
    with pytest.raises(BackupError, match="damaged"):
        await restore_from(empty_url, archive)
    sql = await asyncpg.connect(empty_url)
    assert not await sql.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'users'")
    await sql.close()


async def test_a_restore_is_rejected_while_a_process_of_the_suite_runs(
    source, source_url, empty_url, tmp_path
):
    archive = DirectoryArchive(tmp_path / "backup")
    await make_backup(source_url, archive)
    settings = {"application_name": "twelvefold-api@api:0003,jobs:0003"}
    running = await asyncpg.connect(empty_url, server_settings=settings)
    with pytest.raises(BackupError, match="twelvefold-api@api:0003"):
        await restore_from(empty_url, archive)
    await running.close()


async def test_a_backup_of_a_newer_release_is_rejected(source, source_url, empty_url, tmp_path):
    archive = DirectoryArchive(tmp_path / "backup")
    await make_backup(source_url, archive)
    manifest = tmp_path / "backup" / MANIFEST
    content = json.loads(manifest.read_text())
    content["schemas"]["users"] = "9999"
    manifest.write_text(json.dumps(content))
    with pytest.raises(BackupError, match="users at revision 9999"):
        await restore_from(empty_url, archive)


@pytest.fixture
def command(monkeypatch):
    monkeypatch.setenv("ENVIRONMENT", "testing")

    async def invoke(*arguments: str, **environment: str):
        # In a thread: the command runs a loop of its own.
        return await asyncio.to_thread(
            CliRunner().invoke, app, list(arguments), env={"S3_BUCKET": None, **environment}
        )

    return invoke


async def test_both_commands_report_what_they_did(command, source, source_url, empty_url, tmp_path):
    location = str(tmp_path / "backup")
    backup = await command("backup", location, "--no-objects", BACKUP_DATABASE_URL=source_url)
    assert backup.exit_code == 0, backup.output
    assert f"backed up to {location}" in backup.output
    result = await command(
        "restore",
        location,
        "--no-objects",
        BOOTSTRAP_DATABASE_URL=empty_url,
        BOOTSTRAP_ROLE_PASSWORDS=json.dumps(PASSWORDS),
    )
    assert result.exit_code == 0, result.output
    assert "is undamaged" in result.output


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["backup", "/nowhere"], {}, "BACKUP_DATABASE_URL is missing"),
        (
            ["backup", "{tmp}", "--no-objects"],
            {"BACKUP_DATABASE_URL": "postgresql://a:b@127.0.0.1:1/c"},
            "postgres does not respond",
        ),
        (
            ["backup", "s3://bucket/x", "--no-objects"],
            {"BACKUP_DATABASE_URL": "postgresql://a:b@127.0.0.1:1/c"},
            "needs the S3_",
        ),
        (
            ["restore", "{tmp}/none", "--no-objects"],
            {
                "BOOTSTRAP_DATABASE_URL": "postgresql://a:b@127.0.0.1:1/c",
                "BOOTSTRAP_ROLE_PASSWORDS": "{}",
            },
            "manifest.json does not exist",
        ),
    ],
)
async def test_bad_input_is_reported_in_one_line(
    command, tmp_path, arguments, environment, message
):
    result = await command(
        *(part.replace("{tmp}", str(tmp_path)) for part in arguments), **environment
    )
    assert result.exit_code in (1, 2)
    assert message in result.output
    assert "Traceback" not in result.output


async def test_the_password_is_in_no_argument_of_the_dump(source_url, monkeypatch):
    seen: list[Any] = []

    async def record_arguments(*arguments: Any, **_: Any) -> Any:
        seen.extend(arguments)
        raise OSError("seen")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", record_arguments)
    with pytest.raises(OSError, match="seen"):
        await postgres_tools.run_tool("pg_dump", source_url, [])
    password = source_url.split(":")[2].partition("@")[0]
    assert len(password) > 8
    assert not any(password in str(argument) for argument in seen)


@pytest.mark.parametrize(
    "name",
    ["../outside", "objects/../../outside", "/outside", "objects//a", "objects/./a", "", "a\0b"],
)
async def test_a_name_outside_the_archive_is_rejected(tmp_path, name) -> None:
    archive = DirectoryArchive(tmp_path / "backup")
    with pytest.raises(ArchiveError):
        await archive.write(name, stream(b"content"))
    with pytest.raises(ArchiveError):
        async with archive.read(name):
            pass
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_a_name_below_a_file_is_rejected(tmp_path) -> None:
    archive = DirectoryArchive(tmp_path)
    await archive.write("a", stream(b"x"))
    with pytest.raises(ArchiveError):
        await archive.write("a/b", stream(b"x"))


async def test_only_the_owner_can_read_a_backup_in_any_directory(tmp_path) -> None:
    directory = tmp_path / "there-already"
    directory.mkdir(mode=0o755)
    former = os.umask(0o022)
    try:
        await DirectoryArchive(directory).write("objects/originals/a", stream(b"x"))
    finally:
        os.umask(former)
    assert stat.S_IMODE((directory / "objects/originals/a").stat().st_mode) == 0o600
    for folder in ("objects", "objects/originals"):
        assert stat.S_IMODE((directory / folder).stat().st_mode) == 0o700


async def test_a_write_that_fails_leaves_nothing(tmp_path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await DirectoryArchive(tmp_path).write("a", broken())
    assert not list(tmp_path.iterdir())
