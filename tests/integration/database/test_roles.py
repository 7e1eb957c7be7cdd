"""Roles of a service, two of which may log in while a password is rotated."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

import asyncpg
import pytest

from twelvefold.database.migrations import SchemaError, bootstrap, upgrade
from twelvefold.database.revisions import Migrations, installed_migrations


@pytest.fixture
def service() -> Migrations:
    """A unique name, because roles belong to the whole server."""
    name = f"shop{uuid.uuid4().hex[:8]}"
    return Migrations(service=name, schema=name, package="users.migrations")


@pytest.fixture
async def superuser_url(new_database) -> str:
    return str((await new_database()).superuser_url)


@pytest.fixture
async def empty_database_url(postgres_superuser_url: str) -> AsyncIterator[str]:
    """A database without any schema of the suite."""
    name = f"empty_{uuid.uuid4().hex[:8]}"
    admin = await asyncpg.connect(postgres_superuser_url)
    await admin.execute(f"CREATE DATABASE {name}")
    yield urlsplit(postgres_superuser_url)._replace(path=f"/{name}").geturl()
    await admin.close()


def url_as(url: str, role: str, passwords: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    netloc = f"{role}:{passwords[role]}@{parts.hostname}:{parts.port}"
    return parts._replace(netloc=netloc).geturl()


@pytest.fixture
def logged_in(superuser_url: str):
    async def connect(role: str, password: str) -> asyncpg.Connection:
        return await asyncpg.connect(url_as(superuser_url, role, {role: password}))

    return connect


@pytest.fixture
async def ready(service: Migrations, superuser_url: str) -> None:
    """Create the schema with a table, as its owner does."""
    passwords = {service.owner_role: "owner", service.app_role: "one"}
    assert await bootstrap(superuser_url, [service], passwords) == [*passwords]


async def rows(connection: asyncpg.Connection) -> object:
    """Write and read as the service does, by the search path."""
    await connection.execute("INSERT INTO things DEFAULT VALUES")
    return await connection.fetchval("SELECT count(*) FROM things")


async def test_two_passwords_are_valid_at_a_time_with_the_same_rights(
    service: Migrations, superuser_url: str, logged_in, ready
) -> None:
    owner = await logged_in(service.owner_role, "owner")
    await owner.execute("CREATE TABLE things (id bigserial PRIMARY KEY)")

    assert await bootstrap(superuser_url, [service], {service.rotation_role: "two"}) == [
        service.rotation_role
    ]

    first = await logged_in(service.app_role, "one")
    second = await logged_in(service.rotation_role, "two")
    assert (await rows(first), await rows(second)) == (1, 2)
    await owner.execute("CREATE TABLE later (id int)")  # created after the second role
    assert await second.fetchval("SELECT count(*) FROM later") == 0
    for forbidden in ("CREATE TABLE mine (id int)", "DROP TABLE things"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await second.execute(forbidden)
    for connection in (owner, first, second):
        await connection.close()


async def test_the_old_password_is_closed_while_the_other_one_stays(
    service: Migrations, superuser_url: str, logged_in, ready
) -> None:
    await bootstrap(superuser_url, [service], {service.rotation_role: "two"})

    await bootstrap(superuser_url, [service], {service.app_role: "nobody knows it"})

    with pytest.raises(asyncpg.InvalidPasswordError):
        await logged_in(service.app_role, "one")
    await (await logged_in(service.rotation_role, "two")).close()


async def test_an_existing_role_keeps_its_password_where_none_is_given(
    service: Migrations, superuser_url: str, logged_in, ready
) -> None:
    assert await bootstrap(superuser_url, [service], {}) == []

    await (await logged_in(service.app_role, "one")).close()


async def test_a_new_role_needs_a_password_and_is_named(
    service: Migrations, superuser_url: str
) -> None:
    with pytest.raises(SchemaError) as refused:
        await bootstrap(superuser_url, [service], {service.owner_role: "owner"})

    assert service.app_role in refused.value.detail
    assert service.owner_role not in refused.value.detail


async def producers_rights(connection: asyncpg.Connection) -> None:
    """Do with jobs what every service does, and try what none but a consumer may."""
    job_id = uuid.uuid4()
    await connection.execute(
        "INSERT INTO jobs.jobs (id, kind, payload) VALUES ($1, 'shop.pack', '{}')", job_id
    )
    assert await connection.fetchval("SELECT kind FROM jobs.job_status WHERE id = $1", job_id)
    assert await connection.fetchval("SELECT changed FROM jobs.cancel_job($1)", job_id)
    assert await connection.fetchval("SELECT changed FROM jobs.retry_job($1)", job_id)
    await connection.fetchrow("SELECT * FROM jobs.job_subject($1)", job_id)
    await connection.fetchval("SELECT jobs.count_waiting($1, 'x', 'default', 0::int2, 9)", job_id)


ONLY_CONSUMERS = ("SELECT payload FROM jobs.jobs", "UPDATE jobs.jobs SET progress = 1")
NO_SERVICE = (
    "SELECT jobs.grant_producer('public')",
    "SELECT jobs.grant_consumer('public')",
    "UPDATE jobs.alembic_version SET version_num = 'x'",
    "DELETE FROM jobs.suite",
    "DROP TABLE jobs.jobs",
)


async def refused(connection: asyncpg.Connection, *statements: str) -> None:
    for statement in statements:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def test_a_service_that_joins_later_may_insert_jobs_and_nothing_more(
    service: Migrations, superuser_url: str, logged_in, ready
) -> None:
    connection = await logged_in(service.app_role, "one")
    await producers_rights(connection)
    await refused(connection, *ONLY_CONSUMERS, *NO_SERVICE)
    await connection.close()


async def test_a_service_with_a_queue_of_its_own_has_a_consumer_s_rights(
    service: Migrations, superuser_url: str, logged_in
) -> None:
    worker = replace(service, runs_jobs=True)
    await bootstrap(superuser_url, [worker], {worker.owner_role: "owner", worker.app_role: "one"})
    connection = await logged_in(worker.app_role, "one")
    await producers_rights(connection)
    for statement in (
        *ONLY_CONSUMERS,
        "DELETE FROM jobs.job_effects",
        "SELECT created_at FROM jobs.suite",
        "SELECT version_num FROM jobs.alembic_version",
    ):
        await connection.execute(statement)
    await refused(connection, *NO_SERVICE)
    await connection.close()


async def test_roles_that_are_there_before_schema_jobs_get_their_rights_by_its_migration(
    service: Migrations, empty_database_url: str, new_database
) -> None:
    passwords = (await new_database()).passwords  # roles belong to the whole server
    worker = replace(service, service=f"{service.service}w", runs_jobs=True, schema="shopw")
    roles = {
        role: "one" for entry in (service, worker) for role in (entry.owner_role, entry.app_role)
    }
    found = [*installed_migrations(), service, worker]
    await bootstrap(empty_database_url, found, {**passwords, **roles})
    for entry in installed_migrations():
        await upgrade(entry, url_as(empty_database_url, entry.owner_role, passwords))

    producer = await asyncpg.connect(url_as(empty_database_url, service.app_role, roles))
    consumer = await asyncpg.connect(url_as(empty_database_url, worker.app_role, roles))
    for connection in (producer, consumer):
        await producers_rights(connection)
        await refused(connection, *NO_SERVICE)
    await refused(producer, *ONLY_CONSUMERS)
    for statement in ONLY_CONSUMERS:
        await consumer.execute(statement)
    await producer.close()
    await consumer.close()
