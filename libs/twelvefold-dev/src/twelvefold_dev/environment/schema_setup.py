"""Preparation of the database: bootstrap, then the migrations of every schema in order.

`python -m twelvefold_dev.environment.schema_setup` reads BOOTSTRAP_DATABASE_URL and
BOOTSTRAP_ROLE_PASSWORDS. It is a separate process, since Alembic and SQLAlchemy would stay in the
supervisor's memory.
"""

from __future__ import annotations

import asyncio
import sys
import time

from twelvefold.database.migrations import Migrations, bootstrap, upgrade
from twelvefold.database.revisions import installed_migrations
from twelvefold.errors import DependencyUnavailable, TwelvefoldError
from twelvefold.settings import BootstrapSettings, SettingsError, load

from .composition import url_as

_POSTGRES_TIMEOUT = 30.0  # seconds for PostgreSQL, which starts at the same time
_POLL_INTERVAL = 0.05  # seconds


async def prepare(settings: BootstrapSettings) -> None:
    """Bootstrap and migrate every schema. Safe to repeat. Raises TwelvefoldError on failure."""
    url = settings.bootstrap_database_url.get_secret_value()
    passwords = settings.passwords
    migrations = installed_migrations()
    await _bootstrap_when_available(url, migrations, passwords)
    for entry in migrations:
        owner = entry.owner_role
        before, applied = await upgrade(entry, url_as(url, owner, passwords[owner]))
        print(f"{entry.schema}: {before or 'empty'} -> {applied[-1] if applied else before}")


async def _bootstrap_when_available(
    url: str, migrations: list[Migrations], passwords: dict[str, str]
) -> None:
    deadline = time.monotonic() + _POSTGRES_TIMEOUT
    while True:
        try:
            await bootstrap(url, migrations, passwords)
        except DependencyUnavailable:
            if time.monotonic() > deadline:
                raise
        else:
            return
        await asyncio.sleep(_POLL_INTERVAL)


def main() -> int:
    try:
        asyncio.run(prepare(load(BootstrapSettings)))
    except (TwelvefoldError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
