"""Roles of a service, two of which may log in while a password is rotated."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

import asyncpg
import pytest

from twelvefold.database.migrations import SchemaError, bootstrap
from twelvefold.database.revisions import Migrations


@pytest.fixture
def service() -> Migrations:
    """A unique name, because roles belong to the whole server."""
    name = f"shop{uuid.uuid4().hex[:8]}"
    return Migrations(service=name, schema=name, package="users.migrations")


@pytest.fixture
async def superuser_url(new_database) -> str:
    return str((await new_database()).superuser_url)


@pytest.fixture
def logged_in(superuser_url: str):
    async def connect(role: str, password: str) -> asyncpg.Connection:
        parts = urlsplit(superuser_url)
        netloc = f"{role}:{password}@{parts.hostname}:{parts.port}"
        return await asyncpg.connect(parts._replace(netloc=netloc).geturl())

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
