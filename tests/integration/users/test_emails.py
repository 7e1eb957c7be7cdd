"""Emails with a link: requested without a token, created at send time, used once."""

import asyncio
import json
import uuid
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.integration.users.running_users import PASSWORD, registration

from twelvefold.security.revocation import revocation_key

NEW_PASSWORD = "a whole new battery"


async def mails_queued(sql, template):
    rows = await sql.fetch("SELECT id, payload FROM jobs.jobs WHERE kind = 'email.send'")
    mails = [(row["id"], json.loads(row["payload"])) for row in rows]
    return {payload["user_id"]: job for job, payload in mails if payload["template"] == template}


async def mint(worker, account, template, job_id=None):
    """The token of one mail, as the worker would put it into a link."""
    body = {"template": template, "user_id": account.id}
    response = await worker.put(f"/emails/{job_id or uuid.uuid4()}", json=body)
    assert response.status_code == 200, response.text
    content = response.json()
    # Nobody has proven the address yet: it reads no words of the account.
    assert (content["to"], content["name"]) == (account.email, "")
    link = urlsplit(content["link"])
    page = "/reset-password" if template == "reset" else "/verify-email"
    assert (link.scheme, link.netloc, link.path) == ("https", "app.test", page)
    (token,) = parse_qs(link.query)["token"]
    return token


async def reset(api, token, password=NEW_PASSWORD):
    body = {"token": token, "password": password}
    return await api.http.post("/password-resets/confirm", json=body)


async def verify(api, token):
    return await api.http.post("/email-verifications/confirm", json={"token": token})


@pytest.mark.parametrize(
    ("path", "template"), [("/email-verifications", "verify"), ("/password-resets", "reset")]
)
async def test_a_request_for_an_unknown_address_has_the_same_response_and_work(
    api, sql, path, template
):
    account = await api.register()
    counts, responses = [], []
    for email in (account.email, f"nobody.{uuid.uuid4().hex}@example.com"):
        responses.append(await api.http.post(path, json={"email": email}))
        counts.append(await sql.fetchval("SELECT count(*) FROM jobs.jobs"))
    assert [response.status_code for response in responses] == [202, 202]
    assert responses[0].content == responses[1].content
    assert counts[1] == counts[0] + 1
    assert account.id in await mails_queued(sql, template)


async def test_an_email_without_an_account_has_no_content(worker):
    body = {"template": "reset", "user_id": str(uuid.uuid4())}
    response = await worker.put(f"/emails/{uuid.uuid4()}", json=body)
    assert response.status_code == 404


async def test_a_disabled_account_gets_no_mail(api, worker, sql):
    account = await api.register()
    await sql.execute(
        "UPDATE users.accounts SET disabled_at = now() WHERE id = $1::uuid", account.id
    )
    body = {"template": "reset", "user_id": account.id}
    assert (await worker.put(f"/emails/{uuid.uuid4()}", json=body)).status_code == 404


async def test_the_welcome_mail_carries_a_link_that_verifies_the_address(api, worker):
    account = await api.member()
    token = await mint(worker, account, "welcome")
    assert (await verify(api, token)).status_code == 204
    read = await api.http.get(f"/users/{account.id}", headers=account.bearer)
    assert read.json()["email_verified"] is True
    assert read.headers["etag"] == '"v2"'


async def test_a_verified_account_needs_no_verification_mail(api, worker):
    account = await api.register()
    await verify(api, await mint(worker, account, "verify"))
    body = {"template": "verify", "user_id": account.id}
    assert (await worker.put(f"/emails/{uuid.uuid4()}", json=body)).status_code == 404
    body["template"] = "welcome"
    welcome = await worker.put(f"/emails/{uuid.uuid4()}", json=body)
    assert (welcome.status_code, welcome.json()["link"]) == (200, None)


async def test_tokens_are_stored_hashed_and_each_attempt_at_a_mail_has_its_own(api, worker, sql):
    account, job = await api.register(), uuid.uuid4()
    tokens = [await mint(worker, account, "reset", job) for _ in range(3)]
    assert len(set(tokens)) == 3
    rows = await sql.fetch("SELECT * FROM users.email_tokens WHERE job_id = $1", job)
    assert len(rows) == 3
    assert not any(
        token in str(rows) or token.encode() in row["hash"] for token in tokens for row in rows
    )


async def test_one_use_uses_up_every_token_of_its_purpose_and_no_other(api, worker):
    account = await api.register()
    first, second = [await mint(worker, account, "reset") for _ in range(2)]
    other = await mint(worker, account, "verify")
    assert (await reset(api, second)).status_code == 204
    for token in (first, second):
        response = await reset(api, token)
        assert response.status_code == 400
        assert response.json()["errors"][0]["pointer"] == "/body/token"
    assert (await verify(api, other)).status_code == 204


async def test_of_racing_uses_one_counts(api, worker):
    account = await api.register()
    tokens = [await mint(worker, account, "reset") for _ in range(4)]
    responses = await asyncio.gather(*(reset(api, token) for token in tokens * 2))
    assert sorted(response.status_code for response in responses) == [204] + [400] * 7


async def test_a_token_counts_for_its_purpose_only(api, worker):
    account = await api.register()
    assert (await reset(api, await mint(worker, account, "verify"))).status_code == 400
    assert (await verify(api, await mint(worker, account, "reset"))).status_code == 400


@pytest.mark.parametrize(("template", "minutes"), [("reset", 10), ("verify", 24 * 60)])
async def test_a_token_expires(api, worker, sql, template, minutes):
    account = await api.register()
    use = reset if template == "reset" else verify
    token = await mint(worker, account, template)
    life = await sql.fetchval(
        "SELECT expires_at - created_at FROM users.email_tokens WHERE account_id = $1::uuid",
        account.id,
    )
    assert life.total_seconds() == minutes * 60
    await sql.execute("UPDATE users.email_tokens SET expires_at = now()")
    assert (await use(api, token)).status_code == 400


async def test_a_token_proves_only_the_address_that_it_was_sent_to(api, worker, sql):
    account = await api.register()
    token = await mint(worker, account, "verify")
    elsewhere = f"elsewhere.{uuid.uuid4().hex}@example.com"
    await sql.execute(
        "UPDATE users.accounts SET email = $2, email_key = $2 WHERE id = $1::uuid",
        account.id,
        elsewhere,
    )
    assert (await verify(api, token)).status_code == 400


async def test_a_reset_sets_the_password_and_ends_every_session(api, worker, process, sql):
    account = await api.member()
    other = (await api.log_in(account.email)).json()
    token = await mint(worker, account, "reset")
    assert (await reset(api, token)).status_code == 204
    assert (await api.log_in(account.email, PASSWORD)).status_code == 400
    assert (await api.log_in(account.email, NEW_PASSWORD)).status_code == 200
    for pair in (account.tokens, other):
        assert (await api.refresh(pair["refresh_token"])).status_code == 400
    ended = await sql.fetch(
        "SELECT id FROM users.sessions WHERE account_id = $1::uuid AND revoked_at IS NOT NULL",
        account.id,
    )
    assert len(ended) == 2
    for row in ended:
        assert await process.backing.redis.exists(revocation_key(row["id"]))
    assert not await process.backing.redis.exists(revocation_key(account.id))


async def test_a_reset_refuses_a_short_password_and_keeps_the_token(api, worker):
    account = await api.register()
    token = await mint(worker, account, "reset")
    assert (await reset(api, token, "short")).status_code == 422
    assert (await reset(api, token)).status_code == 204


async def test_a_made_up_token_costs_no_hash(api, use_cases, monkeypatch):
    async def unexpected(self, password):
        raise AssertionError("hashed for a token that was never issued")

    monkeypatch.setattr(type(use_cases.email_links.hasher), "hash", unexpected)
    assert (await reset(api, "made-up")).status_code == 400


async def test_the_same_key_with_an_address_in_use_replays_the_refusal(api):
    account = await api.register()
    key = {"Idempotency-Key": str(uuid.uuid4())}
    responses = [
        await api.http.post("/users", json=registration(account.email), headers=key)
        for _ in range(2)
    ]
    assert [response.status_code for response in responses] == [409, 409]
    assert responses[1].headers["idempotency-replayed"] == "true"
