"""A field is added to the profile in contract, model and migration alone, and no place drops it."""

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.integration.users.added_field import copy_with_field

from twelvefold.contracts.accounts import User
from users.app import MIGRATIONS
from users.repository.accounts import AccountRecord
from users.service.documents import document


async def test_a_field_added_to_contract_model_and_migration_arrives_everywhere(
    new_database, redis_url, tmp_path
):
    folders = copy_with_field(tmp_path, MIGRATIONS.revisions[-1])
    database = await new_database()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.users.added_field"),
        *(database.url("users_app"), database.url("users_owner"), redis_url),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, folders), str(Path.cwd())])},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()[-3000:]
    first = dict.fromkeys(["registered", "cached", "read", "listed", "exported"], "first")
    assert json.loads(output.splitlines()[-1]) == {**first, "changed": "second"}


async def test_the_document_of_a_record_is_the_contract_and_never_shows_the_version(api, use_cases):
    account = await api.register()
    user = User.model_validate(account.body)
    record = AccountRecord.model_construct(**dict(user), version=7)
    assert document(record) == (7, user.model_dump_json().encode())
