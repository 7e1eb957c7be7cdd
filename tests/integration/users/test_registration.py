"""Registration: one account an address, its mail in the same commit, nothing without a row."""

import asyncio
import uuid

import pytest
from tests.integration.users.running_users import (
    API,
    PASSWORD,
    Caller,
    client_of,
    registration,
    settings_for,
)

from twelvefold.contracts.accounts import user_cache_key
from twelvefold.errors import Unavailable
from users.app import create_app


def fresh_address(prefix="ada"):
    return f"{prefix}.{uuid.uuid4().hex}@example.com"


async def mails_of(sql, account_id):
    return await sql.fetch(
        "SELECT payload FROM jobs.jobs WHERE kind = 'email.send' AND payload->>'user_id' = $1",
        str(account_id),
    )


async def test_a_registration_answers_the_account_without_its_password(api):
    email = fresh_address("Ada.Lovelace")
    response = await api.http.post("/users", json=registration(email))
    assert response.status_code == 201
    assert response.headers["etag"] == '"v1"'
    body = response.json()
    assert body["email"] == email
    assert (body["role"], body["email_verified"], body["disabled"]) == ("user", False, False)
    assert body["created_at"].endswith("Z")
    assert PASSWORD not in response.text
    assert "password" not in response.text


async def test_twenty_registrations_of_one_address_make_one_account_and_one_mail(api, sql):
    email = fresh_address()
    spellings = [email, email.upper().replace("@EXAMPLE.COM", "@example.com")] * 10
    responses = await asyncio.gather(
        *(api.http.post("/users", json=registration(spelling)) for spelling in spellings)
    )
    statuses = sorted(response.status_code for response in responses)
    assert statuses == [201] + [409] * 19
    refused = next(response for response in responses if response.status_code == 409)
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["errors"][0]["pointer"] == "/body/email"
    rows = await sql.fetch("SELECT id FROM users.accounts WHERE email_key = $1", email)
    assert len(rows) == 1
    assert len(await mails_of(sql, rows[0]["id"])) == 1


async def test_an_account_whose_mail_cannot_be_queued_is_not_there(
    api, sql, use_cases, monkeypatch
):
    async def fails(*arguments, **named):
        raise Unavailable("no queue")

    monkeypatch.setattr(type(use_cases.accounts.jobs), "enqueue", fails)
    email = fresh_address()
    response = await api.http.post("/users", json=registration(email))
    assert response.status_code == 503
    assert not await sql.fetchval("SELECT count(*) FROM users.accounts WHERE email = $1", email)


async def test_a_queued_mail_holds_ids_only(api, sql):
    account = await api.register()
    (mail,) = await mails_of(sql, account.id)
    assert account.email not in mail["payload"]
    assert "welcome" in mail["payload"]


async def test_the_new_account_is_in_the_cache_once_it_is_answered(api, use_cases):
    account = await api.register()
    entry = await use_cases.accounts.cached.cache.get(user_cache_key(account.id))
    assert entry.version == 1
    assert account.email.encode() in entry.body


async def test_the_same_key_registers_once_and_answers_alike(api, sql):
    email, key = fresh_address(), {"Idempotency-Key": f'"{uuid.uuid4()}"'}
    first = await api.http.post("/users", json=registration(email), headers=key)
    again = await api.http.post("/users", json=registration(email), headers=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["idempotency-replayed"] == "true"
    other = await api.http.post("/users", json=registration(email, name="Eve"), headers=key)
    assert other.status_code == 422
    assert len(await mails_of(sql, first.json()["id"])) == 1


async def test_an_equal_key_of_another_caller_refuses_no_registration(api, sql):
    key = {"Idempotency-Key": f'"{uuid.uuid4()}"'}
    mallory, ada = fresh_address("mallory"), fresh_address()
    for email in (mallory, ada):
        response = await api.http.post("/users", json=registration(email), headers=key)
        assert (response.status_code, response.json()["email"]) == (201, email)
        assert "idempotency-replayed" not in response.headers
    callers = await sql.fetch("SELECT caller FROM users.idempotency_keys")
    assert not [row for row in callers if "@" in row["caller"]]


async def test_a_key_belongs_to_the_address_in_every_spelling(api):
    key, name = {"Idempotency-Key": f'"{uuid.uuid4()}"'}, uuid.uuid4().hex
    spellings = [f"{name}@b\u00fccher.example", f"{name.upper()}@xn--bcher-kva.example"]
    first = await api.http.post("/users", json=registration(spellings[0]), headers=key)
    assert first.status_code == 201
    other = await api.http.post("/users", json=registration(spellings[1]), headers=key)
    assert other.status_code == 422  # the same caller and key, with another body


NAMES = {  # as given and as kept
    "Persian with a non-joiner": ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
    "a family of emoji": ("Ada \U0001f468\u200d\U0001f467", "Ada \U0001f468\u200d\U0001f467"),
    "an emoji newer than the interpreter": ("Ada \U0001fae9", "Ada \U0001fae9"),
    "an ideographic space": ("\u5c71\u7530\u3000\u592a", "\u5c71\u7530 \u592a"),
    "no-break spaces": (" Ada\u00a0\u00a0L ", "Ada L"),
}


@pytest.mark.parametrize(("given", "kept"), NAMES.values(), ids=NAMES)
async def test_a_name_of_any_script_registers_and_renames(api, given, kept):
    response = await api.http.post("/users", json=registration(fresh_address(), name=given))
    assert (response.status_code, response.json().get("name")) == (201, kept)
    account = await api.member()
    headers = {**account.bearer, "If-Match": account.etag}
    url = f"/users/{account.id}"
    changed = await api.http.patch(url, headers=headers, json={"name": given})
    assert (changed.status_code, changed.json().get("name")) == (200, kept)


FAULTS = {
    "no email": ({"email": None}, "/body/email"),
    "email without a domain": ({"email": "ada"}, "/body/email"),
    "empty name": ({"name": ""}, "/body/name"),
    "blank name": ({"name": "\u3000 "}, "/body/name"),
    "name with a line break": ({"name": "Ada\nBcc: all"}, "/body/name"),
    "name that reorders text": ({"name": "Ada\u202egpj"}, "/body/name"),
    "short password": ({"password": "s3cret7"}, "/body/password"),
    "long password": ({"password": "x" * 257}, "/body/password"),
    "password that normalising makes short": ({"password": "e\u0308" * 7}, "/body/password"),
    "a role of one's own": ({"role": "admin"}, "/body/role"),
}


@pytest.mark.parametrize(("changes", "pointer"), FAULTS.values(), ids=FAULTS)
async def test_wrong_input_is_named_by_pointer_and_not_repeated(api, changes, pointer):
    body = registration(fresh_address(), **changes)
    response = await api.http.post("/users", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer
    assert "s3cret7" not in response.text


async def test_half_a_character_is_refused_before_the_database_sees_it(api):
    body = b'{"email": "a@example.com", "name": "\\ud800", "password": "correct horse"}'
    headers = {"Content-Type": "application/json"}
    assert (await api.http.post("/users", content=body, headers=headers)).status_code == 422
    body = b'{"email": "a@example.com", "name": "Ada", "password": "correct \\ud800 horse"}'
    assert (await api.http.post("/users", content=body, headers=headers)).status_code == 422


async def test_registration_and_login_work_without_redis(database):
    settings = settings_for(database, "redis://127.0.0.1:1/0")
    async with create_app(settings).open() as process, client_of(process, API) as client:
        lonely = Caller(client)
        account = await lonely.member()
        response = await client.get(f"/users/{account.id}", headers=account.bearer)
        assert response.status_code == 200
        revoked = await client.post(
            "/tokens/revoke", json={"token": account.tokens["refresh_token"]}
        )
        assert revoked.status_code == 200
        assert (await lonely.refresh(account.tokens["refresh_token"])).status_code == 400
