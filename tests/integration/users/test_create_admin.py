"""`twelvefold users create-admin` as an operator runs it."""

import asyncio
import os
import sys
import uuid
from pathlib import Path

import pytest
from tests.integration.users.running_users import PASSWORD

COMMAND = str(Path(sys.executable).with_name("twelvefold"))


@pytest.fixture
def create_admin(database, redis_url):
    environment = {
        **os.environ,
        "ENVIRONMENT": "testing",
        "DATABASE_URL": database.url("users_app"),
        "REDIS_URL": redis_url,
    }

    async def run(*arguments, typed="", **changes):
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            "users",
            "create-admin",
            *arguments,
            env={**environment, **changes},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate(typed.encode())
        assert b"Traceback" not in errors
        return process.returncode, out.decode(), errors.decode()

    return run


def fresh_address():
    return f"root.{uuid.uuid4().hex}@example.com"


async def row(sql, email):
    return await sql.fetchrow(
        "SELECT id, role, name, email_verified_at, version FROM users.accounts WHERE email = $1",
        email,
    )


async def test_a_new_admin_logs_in_and_gets_no_mail(api, sql, create_admin):
    email = fresh_address()
    code, out, _ = await create_admin(
        email, "--verified", "--name", "Root", "--password-stdin", typed=f"{PASSWORD}\n"
    )
    assert (code, PASSWORD in out) == (0, False)
    account = await row(sql, email)
    assert (account["role"], account["name"]) == ("admin", "Root")
    assert account["email_verified_at"] is not None
    assert "admin" in (await api.log_in(email)).json()["scope"].split()
    mails = await sql.fetchval(
        "SELECT count(*) FROM jobs.jobs WHERE payload->>'user_id' = $1", str(account["id"])
    )
    assert mails == 0


async def test_an_existing_account_becomes_an_admin_and_keeps_its_password(api, sql, create_admin):
    account = await api.member()
    code, out, _ = await create_admin(account.email)
    assert (code, "admin" in out) == (0, True)
    pair = (await api.log_in(account.email)).json()
    assert "admin" in pair["scope"].split()
    refreshed = (await api.refresh(account.tokens["refresh_token"])).json()
    assert "admin" in refreshed["scope"].split()
    read = await api.http.get(f"/users/{account.id}", headers=account.bearer)
    assert (read.json()["role"], read.json()["email_verified"]) == ("admin", False)
    assert read.headers["etag"] == '"v2"'


@pytest.mark.parametrize(
    ("email", "typed", "named"),
    [
        ("no-address", f"{PASSWORD}\n", "email"),
        ("root@example.com", "short\n", "password"),
        ("root@example.com", "", "password"),
    ],
)
async def test_wrong_input_is_named_and_makes_no_account(sql, create_admin, email, typed, named):
    code, _, errors = await create_admin(email, "--password-stdin", typed=typed)
    assert (code, named in errors) == (2, True)
    assert await row(sql, email) is None


async def test_without_a_terminal_the_password_is_not_waited_for(create_admin):
    code, _, errors = await create_admin(fresh_address())
    assert (code, "--password-stdin" in errors) == (2, True)


async def test_missing_settings_are_all_named(create_admin):
    code, _, errors = await create_admin(fresh_address(), DATABASE_URL="", REDIS_URL="")
    assert code == 2
    assert "DATABASE_URL" in errors
    assert "REDIS_URL" in errors


async def test_an_unavailable_database_is_one_line(create_admin):
    url = "postgresql://users_app:x@127.0.0.1:1/none"
    code, _, errors = await create_admin(fresh_address(), DATABASE_URL=url)
    assert (code, errors.strip().count("\n")) == (1, 0)
