"""One process that makes the database ready: bootstrap, then every schema in order.

`python -m twelvefold.dev.prepare` reads BOOTSTRAP_DATABASE_URL and BOOTSTRAP_ROLE_PASSWORDS. A
process of its own, since Alembic and SQLAlchemy would stay in the supervisor's memory.
"""

from __future__ import annotations

import asyncio
import sys
import time

from twelvefold.cli import services
from twelvefold.errors import DependencyUnavailable, TwelvefoldError
from twelvefold.migrations import Migrations, bootstrap, upgrade
from twelvefold.settings import BootstrapSettings, SettingsError, load

from .environment import url_as

_PATIENCE = 30.0  # seconds for PostgreSQL to come up beside us
_POLL = 0.05


async def prepare(settings: BootstrapSettings) -> None:
    """Safe to repeat: what is there already is left as it is. Raises TwelvefoldError."""
    url = settings.bootstrap_database_url.get_secret_value()
    passwords = {
        role: password.get_secret_value()
        for role, password in settings.bootstrap_role_passwords.items()
    }
    schemas = [service.migrations for service in services().values() if service.migrations]
    await _patiently_bootstrap(url, schemas, passwords)
    for entry in schemas:
        owner = entry.owner_role
        before, applied = await upgrade(entry, url_as(url, owner, passwords[owner]))
        print(f"{entry.schema}: {before or 'empty'} -> {applied[-1] if applied else before}")


async def _patiently_bootstrap(
    url: str, schemas: list[Migrations], passwords: dict[str, str]
) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            await bootstrap(url, schemas, passwords)
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
