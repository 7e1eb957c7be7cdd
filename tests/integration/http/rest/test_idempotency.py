"""Keyed effects on the real PostgreSQL: once, whatever is sent how often."""

import asyncio
import uuid

import pytest
from pydantic import SecretStr
from sqlalchemy import MetaData, text

from twelvefold.database.database import Database
from twelvefold.errors import (
    BadRequest,
    DependencyUnavailable,
    NotFound,
    RequestInProgress,
    UnprocessableContent,
)
from twelvefold.http.rest.idempotency import (
    IdempotencyStore,
    StoredError,
    StoredResponse,
)
from twelvefold.http.rest.idempotency_key import idempotency_table, parse_key
from twelvefold.settings import PostgresSettings

SCHEMA = "keyed"
METADATA = MetaData()
TABLE = idempotency_table(METADATA, SCHEMA)


@pytest.fixture(scope="session")
async def keyed_database(new_database):
    made = await new_database()
    settings = PostgresSettings(
        environment="testing", database_url=SecretStr(made.superuser_url), database_pool_size=20
    )
    database = Database(settings, application_name="tests")
    async with database.engine.begin() as connection:
        await connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        await connection.execute(text(f"CREATE TABLE {SCHEMA}.effects (name text)"))
        await connection.run_sync(METADATA.create_all)
    yield database
    await database.aclose()


@pytest.fixture
def keys():
    return IdempotencyStore(TABLE, "a secret of the tests, long enough")


async def _nothing() -> None:
    return None


async def _run(operation, database, effect):
    result = await operation.run(
        database, effect, prepare=_nothing, respond=lambda response: response
    )
    return result.response


class Effect:
    """Writes a row of its own name and answers 201."""

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex

    async def __call__(self, transaction, _):
        await transaction.execute(
            text(f"INSERT INTO {SCHEMA}.effects VALUES (:name)"), {"name": self.name}
        )
        return StoredResponse(201, b'{"made": true}', {"location": f"/{self.name}"})

    async def count(self, database: Database) -> int:
        query = text(f"SELECT count(*) FROM {SCHEMA}.effects WHERE name = :name")
        async with database.read() as reader:
            return int(await reader.scalar(query, {"name": self.name}))


async def test_ten_concurrent_retries_have_one_effect_and_the_rest_replay_or_wait(
    keyed_database, keys
):
    effect, key = Effect(), uuid.uuid4().hex
    others = IdempotencyStore(TABLE, "a secret of the tests, long enough")  # another process

    async def send(process):
        return await _run(process.once("me", key, b"body"), keyed_database, effect)

    responses = await asyncio.gather(
        *(send(keys if n % 2 else others) for n in range(10)), return_exceptions=True
    )
    assert await effect.count(keyed_database) == 1
    assert all(isinstance(response, (StoredResponse, RequestInProgress)) for response in responses)
    replayed = await send(keys)
    assert (replayed.status, replayed.body, replayed.replayed) == (201, b'{"made": true}', True)
    assert replayed.headers["location"] == f"/{effect.name}"


async def test_another_body_under_the_same_key_is_refused(keyed_database, keys):
    effect, key = Effect(), uuid.uuid4().hex
    await _run(keys.once("me", key, b"one"), keyed_database, effect)
    with pytest.raises(UnprocessableContent) as refused:
        await _run(keys.once("me", key, b"two"), keyed_database, effect)
    assert refused.value.errors[0].pointer == "/header/idempotency-key"
    assert await effect.count(keyed_database) == 1


async def test_two_callers_may_use_the_same_key(keyed_database, keys):
    effect, key = Effect(), uuid.uuid4().hex
    for caller in ("one", "two"):
        await _run(keys.once(caller, key, b"body"), keyed_database, effect)
    assert await effect.count(keyed_database) == 2


async def test_a_client_error_is_stored_and_its_effect_rolled_back(keyed_database, keys):
    effect, key = Effect(), uuid.uuid4().hex

    async def refuse(transaction, _):
        await effect(transaction, _)
        raise NotFound("no such thing")

    with pytest.raises(NotFound):
        await _run(keys.once("me", key, b"body"), keyed_database, refuse)
    with pytest.raises(StoredError) as again:
        await _run(keys.once("me", key, b"body"), keyed_database, effect)
    assert (again.value.status, again.value.detail) == (404, "no such thing")
    assert await effect.count(keyed_database) == 0


async def test_a_server_error_is_not_stored(keyed_database, keys):
    effect, key = Effect(), uuid.uuid4().hex

    async def fail(transaction, _):
        await effect(transaction, _)
        raise DependencyUnavailable("s3")

    with pytest.raises(DependencyUnavailable):
        await _run(keys.once("me", key, b"body"), keyed_database, fail)
    retried = await _run(keys.once("me", key, b"body"), keyed_database, effect)
    assert (retried.status, retried.replayed) == (201, False)
    assert await effect.count(keyed_database) == 1


async def test_without_a_key_every_request_has_its_effect(keyed_database, keys):
    effect = Effect()
    for _ in range(2):
        await _run(keys.once("me", None, b"body"), keyed_database, effect)
    assert await effect.count(keyed_database) == 2


async def test_an_expired_key_is_deleted(keyed_database, keys):
    effect, key = Effect(), uuid.uuid4().hex
    await _run(keys.once("me", key, b"body"), keyed_database, effect)
    async with keyed_database.transaction() as transaction:
        expire = text(
            f"UPDATE {SCHEMA}.idempotency_keys SET expires_at = now() - interval '1 s' "
            "WHERE key = :key"
        )
        await transaction.execute(expire, {"key": key})
    await _run(keys.once("me", uuid.uuid4().hex, b"b"), keyed_database, Effect())
    async with keyed_database.read() as reader:
        query = text(f"SELECT count(*) FROM {SCHEMA}.idempotency_keys WHERE key = :key")
        assert await reader.scalar(query, {"key": key}) == 0


@pytest.mark.parametrize("header", ["", '"', '"open', "two words", "x" * 300, "ä"])
def test_a_malformed_key_is_a_bad_request(header):
    with pytest.raises(BadRequest):
        parse_key(header)


def test_a_key_is_the_same_with_and_without_quotes():
    assert parse_key('"abc-123"') == parse_key("abc-123") == "abc-123"
