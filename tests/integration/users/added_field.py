"""A copy of the suite whose profile has one more field, and a round trip of it through users.

Run as `python -m tests.integration.users.added_field APP_URL OWNER_URL REDIS_URL` on the copy's
`PYTHONPATH`. Prints as JSON what each way to an account says about the field.
"""

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

FIELD = "nickname"
_ROOT = Path(__file__).parents[3]
_SOURCES = ("libs/twelvefold/src", "services/users/src", "services/api/src")
_CONTRACT = "libs/twelvefold/src/twelvefold/contracts/accounts.py"
_MODEL = "services/users/src/users/models.py"
_MIGRATION = "services/users/src/users/migrations/versions/0999_nickname.py"
# What a developer writes to add a field: contract, model, migration (and a test).
_EDITS = {
    _CONTRACT: [
        ("    name: str\n    role: Role\n", f"    name: str\n    {FIELD}: str\n    role: Role\n"),
        ("    name: Name\n    password", f'    name: Name\n    {FIELD}: str = ""\n    password'),
        (
            "    name: Name | None = None\n",
            f"    name: Name | None = None\n    {FIELD}: str = ''\n",
        ),
    ],
    _MODEL: [
        (
            "    name: Mapped[str]\n",
            f"    name: Mapped[str]\n    {FIELD}: Mapped[str] = mapped_column(server_default='')\n",
        )
    ],
}
_REVISION = f"""
from alembic import op
import sqlalchemy as sa

revision, down_revision = "0999", "{{head}}"


def upgrade() -> None:
    column = sa.Column("{FIELD}", sa.Text, nullable=False, server_default="")
    op.add_column("accounts", column, schema="users")
"""


def copy_with_field(target: Path, head: str) -> list[Path]:
    """Copy the packages to `target` and add the field; return the folders for `PYTHONPATH`."""
    for source in _SOURCES:
        ignored = shutil.ignore_patterns("__pycache__", "static")
        shutil.copytree(_ROOT / source, target / source, ignore=ignored)
    for name, edits in _EDITS.items():
        path = target / name
        text = path.read_text(encoding="utf-8")
        for before, after in edits:
            assert text.count(before) == 1, (name, before)
            text = text.replace(before, after)
        path.write_text(text, encoding="utf-8")
    (target / _MIGRATION).write_text(_REVISION.format(head=head), encoding="utf-8")
    return [target / source for source in _SOURCES]


async def _round_trip(app_url: str, owner_url: str, redis_url: str) -> dict[str, Any]:
    import asyncpg
    from pydantic import SecretStr
    from tests.asgi_server import open_asgi_server
    from tests.integration.users.running_users import PASSWORD, settings_for

    from api.users_client import HttpUsersClient
    from twelvefold.contracts.accounts import TokenRequest, UserCreate, UserUpdate, user_cache_key
    from twelvefold.database.migrations import upgrade
    from twelvefold.http.internal import InternalClient
    from users.app import MIGRATIONS, create_app

    await upgrade(MIGRATIONS, owner_url)

    class Urls:
        def url(self, _: str) -> str:
            return app_url

    process = create_app(settings_for(Urls(), redis_url))
    assert process.internal is not None
    use_cases = process.internal.state.container
    seen: dict[str, Any] = {}
    async with process.open(), open_asgi_server(process.internal) as url:
        client = InternalClient("users", url, caller="api", secret="secret-of-api")
        users = HttpUsersClient(client)
        email = f"{uuid4().hex}@example.com"
        new = UserCreate(email=email, name="Ada", password=SecretStr(PASSWORD), **{FIELD: "first"})
        created = await users.create(new)
        assert created.id is not None
        seen["registered"] = json.loads(created.document.body)
        cached = await use_cases.accounts.cached.cache.get(user_cache_key(created.id))
        assert cached is not None
        seen["cached"] = json.loads(cached.body or b"{}")
        owner = await asyncpg.connect(owner_url)
        await owner.execute("UPDATE users.accounts SET role = 'admin' WHERE id = $1", created.id)
        await owner.close()
        grant = TokenRequest(grant_type="password", username=email, password=SecretStr(PASSWORD))
        bearer = json.loads(await users.issue_token(grant))["access_token"]
        seen["read"] = json.loads((await users.get(created.id, bearer=bearer)).body)
        page = await users.list(limit=1, after=None, bearer=bearer)
        seen["listed"] = json.loads(page.model_dump_json())["items"][0]
        seen["exported"] = json.loads(await users.export(created.id, bearer=bearer))["user"]
        changes = UserUpdate(**{FIELD: "second"})
        changed = await users.update(created.id, changes, expected=None, bearer=bearer)
        seen["changed"] = json.loads(changed.body)
        await client.aclose()
    return {way: document.get(FIELD) for way, document in seen.items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_round_trip(*sys.argv[1:4]))))
