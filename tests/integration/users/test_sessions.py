"""Logging in, exchanging refresh tokens, ending sessions."""

import asyncio
import base64
import hmac
import threading

import argon2
import jwt
import pytest
from tests.integration.users.running_users import (
    PASSWORD,
)

from twelvefold.security.passwords import PasswordHasher
from twelvefold.security.revocation import revocation_key

ACCOUNTS_HASH = "SELECT password_hash FROM users.accounts WHERE id = $1::uuid"


async def later(sql, seconds):
    """Moves every use of a refresh token into the past."""
    await sql.execute(
        "UPDATE users.refresh_tokens SET used_at = used_at - make_interval(secs => $1)", seconds
    )


async def tokens_of(sql, account):
    return await sql.fetch(
        "SELECT t.* FROM users.refresh_tokens t JOIN users.sessions s ON s.id = t.session_id"
        " WHERE s.account_id = $1::uuid",
        account.id,
    )


async def family_of(sql, account):
    return await sql.fetchrow(
        "SELECT * FROM users.sessions WHERE account_id = $1::uuid", account.id
    )


async def test_a_login_answers_a_bearer_token_that_names_its_session(api, sql):
    account = await api.register()
    agent = "Browser/1\n" + "x" * 500
    response = await api.log_in(account.email, user_agent=agent, address="203.0.113.7")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    pair = response.json()
    assert (pair["token_type"], pair["expires_in"]) == ("Bearer", 600)
    assert "users:read" in pair["scope"].split()
    assert "admin" not in pair["scope"]
    claims = jwt.decode(pair["access_token"], options={"verify_signature": False})
    family = await family_of(sql, account)
    assert claims["sid"] == str(family["id"])
    assert claims["sub"] == account.id
    assert len(family["user_agent"]) == 200
    assert family["address"] == "203.0.113.7"
    assert 29 < (family["expires_at"] - family["created_at"]).total_seconds() / 86400 <= 30
    stored = await sql.fetchval("SELECT string_agg(hash::text, ',') FROM users.refresh_tokens")
    assert pair["refresh_token"].encode().hex() not in stored


async def test_a_note_of_a_client_keeps_every_script_and_loses_what_breaks_a_line(api, sql):
    account = await api.register()
    agent = "Persisch \u0645\u06cc\u200c\u062e \U0001fae9\u00a0\x1b[2J\u202e\ufffe"
    assert (await api.log_in(account.email, user_agent=agent)).status_code == 200
    kept = "Persisch \u0645\u06cc\u200c\u062e \U0001fae9\u00a0[2J"
    assert (await family_of(sql, account))["user_agent"] == kept


async def test_the_address_is_recognised_in_any_case(api):
    account = await api.register()
    assert (await api.log_in(account.email.upper())).status_code == 200


async def test_wrong_password_unknown_and_disabled_account_answer_alike(api, sql):
    account = await api.register()
    disabled = await api.register()
    await sql.execute(
        "UPDATE users.accounts SET disabled_at = now() WHERE id = $1::uuid", disabled.id
    )
    responses = [
        await api.log_in(account.email, "not the password"),
        await api.log_in("nobody@example.com"),
        await api.log_in(disabled.email),
        await api.log_in("line\nbreak@example.com"),
        await api.log_in("x" * 100_000),
    ]
    assert {response.status_code for response in responses} == {400}
    assert {response.content for response in responses} == {responses[0].content}
    assert responses[0].json()["error"] == "invalid_grant"


async def test_an_unknown_account_costs_the_same_hash(api, use_cases, monkeypatch):
    account = await api.register()
    work: list[str] = []
    real = argon2.PasswordHasher.verify

    def counted(self, encoded, password):
        work.append(encoded.split("$")[3])
        return real(self, encoded, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    for _ in range(3):
        await api.log_in(account.email, "not the password")
        await api.log_in("nobody@example.com", "not the password")
    assert work == ["m=1024,t=1,p=1"] * 6


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"grant_type": "password", "username": "a@example.com"}, "invalid_request"),
        ({"grant_type": "password", "password": "x"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "made-up"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "é\n"}, "invalid_grant"),
    ],
)
async def test_other_token_requests_are_refused_in_the_words_of_rfc_6749(api, body, error):
    response = await api.http.post("/tokens", json=body)
    assert (response.status_code, response.json()["error"]) == (400, error)
    assert response.headers["cache-control"] == "no-store"


async def test_a_refresh_token_is_exchanged_for_the_next_of_its_family(api, sql):
    account = await api.member()
    token = account.tokens["refresh_token"]
    for _ in range(3):
        response = await api.refresh(token)
        assert response.status_code == 200
        assert response.json()["refresh_token"] != token
        token = response.json()["refresh_token"]
        sid = jwt.decode(response.json()["access_token"], options={"verify_signature": False})[
            "sid"
        ]
        assert sid == str((await family_of(sql, account))["id"])


async def test_within_the_leeway_a_replay_gives_the_same_successor(api, sql):
    account = await api.member()
    token = account.tokens["refresh_token"]
    first, second = await api.refresh(token), await api.refresh(token)
    await later(sql, 8)
    third = await api.refresh(token)
    responses = (first, second, third)
    assert [response.status_code for response in responses] == [200] * 3
    successors = {response.json()["refresh_token"] for response in responses}
    assert len(successors) == 1
    assert len({response.json()["access_token"] for response in responses}) == 3
    assert len(await tokens_of(sql, account)) == 2
    assert (await api.refresh(successors.pop())).status_code == 200


async def test_once_the_successor_was_used_a_replay_ends_the_session_within_the_leeway_too(
    api, sql, process
):
    account = await api.member()
    token = account.tokens["refresh_token"]
    successor = (await api.refresh(token)).json()["refresh_token"]
    newest = (await api.refresh(successor)).json()["refresh_token"]
    assert (await api.refresh(token)).json()["error"] == "invalid_grant"
    assert (await api.refresh(newest)).json()["error"] == "invalid_grant"
    family = await family_of(sql, account)
    assert family["revoked_at"] is not None
    assert await process.backing.redis.ttl(revocation_key(family["id"])) >= 600


async def test_stored_values_do_not_reveal_the_successor_without_the_presented_token(api, sql):
    """Only the salt is kept, and only beside a token that was used: an HMAC under it of every
    stored value is not the successor.
    """
    account = await api.member()
    successor = (await api.refresh(account.tokens["refresh_token"])).json()["refresh_token"]
    rows = await tokens_of(sql, account)
    salts = [row["successor_salt"] for row in rows if row["used_at"]]
    assert [len(salt) for salt in salts] == [32]
    assert [row["successor_salt"] for row in rows if not row["used_at"]] == [None]
    raw = base64.urlsafe_b64decode(successor + "=")
    guesses = [hmac.digest(salts[0], row["hash"], "sha256") for row in rows]
    assert raw not in [*salts, *guesses, *(row["hash"] for row in rows)]


async def test_a_token_that_the_release_before_has_used_is_exchanged_again_once_for_all(api, sql):
    """That release marks a token as used and keeps no salt: the first replay here sets it."""
    account = await api.member()
    token = account.tokens["refresh_token"]
    await sql.execute("UPDATE users.refresh_tokens SET used_at = now()")
    responses = [await api.refresh(token) for _ in range(2)]
    assert [response.status_code for response in responses] == [200, 200]
    assert len({response.json()["refresh_token"] for response in responses}) == 1
    await later(sql, 11)
    assert (await api.refresh(token)).json()["error"] == "invalid_grant"


async def test_after_the_leeway_a_reuse_ends_the_session(api, sql, process):
    account = await api.member()
    token = account.tokens["refresh_token"]
    successor = (await api.refresh(token)).json()["refresh_token"]
    await later(sql, 11)
    assert (await api.refresh(token)).json()["error"] == "invalid_grant"
    assert (await api.refresh(successor)).json()["error"] == "invalid_grant"
    family = await family_of(sql, account)
    assert family["revoked_at"] is not None
    assert await process.backing.redis.ttl(revocation_key(family["id"])) >= 600


async def test_a_session_ends_for_good_at_its_date(api, sql):
    account = await api.member()
    await sql.execute(
        "UPDATE users.sessions SET expires_at = now() WHERE account_id = $1::uuid", account.id
    )
    assert (await api.refresh(account.tokens["refresh_token"])).status_code == 400


async def test_racing_refreshes_give_one_successor(api, sql):
    account = await api.member()
    token = account.tokens["refresh_token"]
    for _ in range(10):
        responses = await asyncio.gather(*(api.refresh(token) for _ in range(4)))
        assert {response.status_code for response in responses} == {200}
        assert len({response.json()["refresh_token"] for response in responses}) == 1
        token = responses[-1].json()["refresh_token"]
    families = await sql.fetch(
        "SELECT revoked_at FROM users.sessions WHERE account_id = $1::uuid", account.id
    )
    assert [row["revoked_at"] for row in families] == [None]


async def test_revoking_either_token_ends_the_session(api, sql, process):
    for kind in ("refresh_token", "access_token"):
        account = await api.member()
        response = await api.http.post("/tokens/revoke", json={"token": account.tokens[kind]})
        assert response.status_code == 200
        assert (await api.refresh(account.tokens["refresh_token"])).status_code == 400
        family = await family_of(sql, account)
        assert await process.backing.redis.exists(revocation_key(family["id"]))


@pytest.mark.parametrize("token", ["unknown", "", "a.b.c", "é\n"])
async def test_revoking_an_unknown_token_succeeds(api, token):
    response = await api.http.post("/tokens/revoke", json={"token": token})
    assert response.status_code == 200


async def test_a_login_while_the_password_changes_gets_no_session(api, sql, use_cases, monkeypatch):
    account = await api.register()
    real = PasswordHasher.verify

    async def overtaken(self, password, stored):
        fits = await real(self, password, stored)
        await sql.execute(
            "UPDATE users.accounts SET password_changed_at = now() WHERE id = $1::uuid", account.id
        )
        return fits

    monkeypatch.setattr(PasswordHasher, "verify", overtaken)
    assert (await api.log_in(account.email)).status_code == 400
    assert await family_of(sql, account) is None


async def test_a_login_brings_an_old_hash_up_to_date(api, sql, use_cases):
    account = await api.register()
    weaker = PasswordHasher(memory=512, passes=1, threads=1)
    old = await weaker.hash(PASSWORD)
    await weaker.aclose()
    await sql.execute(
        "UPDATE users.accounts SET password_hash = $2 WHERE id = $1::uuid", account.id, old
    )
    responses = await asyncio.gather(*(api.log_in(account.email) for _ in range(3)))
    assert {response.status_code for response in responses} == {200}
    await use_cases.post_commit_tasks.aclose()
    assert "m=1024,t=1,p=1" in await sql.fetchval(ACCOUNTS_HASH, account.id)
    assert (await api.log_in(account.email)).status_code == 200
    version = await sql.fetchval(
        "SELECT version FROM users.accounts WHERE id = $1::uuid", account.id
    )
    assert version == 1


async def test_a_login_counts_the_account_as_active_once_a_day(api, sql):
    account = await api.member()
    await api.log_in(account.email)
    await api.refresh(account.tokens["refresh_token"])
    days = await sql.fetchval(
        "SELECT count(*) FROM users.daily_active WHERE account_id = $1::uuid", account.id
    )
    assert days == 1


async def test_other_requests_are_answered_while_passwords_are_checked(api, monkeypatch):
    account = await api.register()
    began, may_end = threading.Event(), threading.Event()
    real = argon2.PasswordHasher.verify

    def verify_when_allowed(self, encoded, password):
        began.set()
        may_end.wait(20)
        return real(self, encoded, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", verify_when_allowed)
    work = [asyncio.create_task(api.log_in(account.email)) for _ in range(12)]
    try:
        assert await asyncio.to_thread(began.wait, 20)
        assert (await api.http.get("/jwks")).status_code == 200
        assert not any(login.done() for login in work)
    finally:
        may_end.set()
    assert {response.status_code for response in await asyncio.gather(*work)} == {200}


async def test_the_published_keys_hold_no_private_part(api):
    response = await api.http.get("/jwks")
    assert response.status_code == 200
    assert "max-age" in response.headers["cache-control"]
    (key,) = response.json()["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "alg", "use", "kid"}
