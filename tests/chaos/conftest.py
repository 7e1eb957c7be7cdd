"""A database with countable effects, and workers on it, on the servers of this run."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest
from tests.chaos.processes import Process
from tests.chaos.worker_child import SCHEMA
from tests.conftest import Database

from twelvefold_dev.servers.mailbox import Mailbox


@pytest.fixture
async def chaos_database(new_database) -> Database:
    database: Database = await new_database()
    connection = await asyncpg.connect(database.superuser_url)
    await connection.execute(SCHEMA)
    await connection.close()
    return database


@pytest.fixture
async def sql(chaos_database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(chaos_database.superuser_url)
    yield connection
    await connection.close()


@pytest.fixture
def worker_environment(chaos_database, redis_url, s3_settings, smtp_url) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "ENVIRONMENT": "testing",
        "DATABASE_URL": chaos_database.url("worker_app"),
        "REDIS_URL": redis_url,
        "SMTP_URL": smtp_url,
        "MAIL_FROM": "Chaos <chaos@chaos.example>",
        "MANAGEMENT_PORT": "0",
        "CHAOS_LEASE": "1.5",
        **{name.upper(): value for name, value in s3_settings.items()},
    }


@pytest.fixture
async def new_worker(worker_environment, tmp_path) -> AsyncIterator[Callable[..., Process]]:
    made: list[Process] = []

    def create(name: str = "worker", **changed: str) -> Process:
        made.append(Process(name, {**worker_environment, **changed}, tmp_path))
        return made[-1]

    yield create
    for process in made:
        await process.close()


@pytest.fixture
def count_emails(mailbox: Mailbox) -> Callable[[str], int]:
    """The number of emails that an address received."""
    folder: Path = mailbox.folder
    return lambda address: len(list(folder.glob(f"*{address}*.eml")))
