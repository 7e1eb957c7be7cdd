"""One process that makes the database ready: bootstrap, then every schema in order.

`python -m twelvefold_dev.environment.schema_setup` reads BOOTSTRAP_DATABASE_URL and BOOTSTRAP_ROLE_PASSWORDS. A
process of its own, since Alembic and SQLAlchemy would stay in the supervisor's memory.
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

_PATIENCE = 30.0  # seconds for PostgreSQL to come up beside us
_POLL = 0.05


async def prepare(settings: BootstrapSettings) -> None:
    """Safe to repeat: what is there already is left as it is. Raises TwelvefoldError."""
    url = settings.bootstrap_database_url.get_secret_value()
    passwords = settings.passwords
    found = installed_migrations()
    await _patiently_bootstrap(url, found, passwords)
    for entry in found:
        owner = entry.owner_role
        before, applied = await upgrade(entry, url_as(url, owner, passwords[owner]))
        print(f"{entry.schema}: {before or 'empty'} -> {applied[-1] if applied else before}")


async def _patiently_bootstrap(
    url: str, found: list[Migrations], passwords: dict[str, str]
) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            await bootstrap(url, found, passwords)
        except DependencyUnavailable:
            if time.monotonic() > deadline:
                raise
        else:
            return
        await asyncio.sleep(_POLL)


def main() -> int:
    try:
        asyncio.run(prepare(load(BootstrapSettings)))
    except (TwelvefoldError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
