"""Changing one's own password and address, looking at and ending one's own sessions."""

import asyncio
import json
import uuid
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.integration.users.running_users import PASSWORD

from twelvefold.security.revocation import revocation_key

NEW_PASSWORD = "a whole new battery"


def fresh_address():
    return f"new.{uuid.uuid4().hex}@example.org"


async def change_password(api, account, current=PASSWORD, new=NEW_PASSWORD):
    body = {"current": current, "new": new}
    return await api.http.post(f"/users/{account.id}/password", headers=account.bearer, json=body)


async def ask_for(api, account, email, password=PASSWORD):
    body = {"email": email, "password": password}
    return await api.http.post(f"/users/{account.id}/email", headers=account.bearer, json=body)


async def mint(worker, account):
    body = {"template": "change_email", "user_id": account.id}
    return await worker.put(f"/emails/{uuid.uuid4()}", json=body)


def token_of(mail):
    (token,) = parse_qs(urlsplit(mail.json()["link"]).query)["token"]
    return token


async def confirm(api, token):
    return await api.http.post("/email-verifications/confirm", json={"token": token})


async def test_a_new_password_ends_the_other_sessions_and_keeps_ones_own(api, process):
    account = await api.member()
    others = [(await api.log_in(account.email)).json() for _ in range(2)]
    assert (await change_password(api, account)).status_code == 204
    assert (await api.refresh(account.tokens["refresh_token"])).status_code == 200
    for pair in others:
        assert (await api.refresh(pair["refresh_token"])).status_code == 400
    assert (await api.log_in(account.email, PASSWORD)).status_code == 400
    assert (await api.log_in(account.email, NEW_PASSWORD)).status_code == 200
    assert await process.backing.redis.exists(revocation_key(uuid.UUID(account.session_id))) == 0


async def test_a_wrong_current_password_changes_nothing(api):
    account = await api.member()
    response = await change_password(api, account, current="not this one")
    assert response.status_code == 403
    assert response.json()["errors"][0]["pointer"] == "/body/current"
    assert (await api.log_in(account.email)).status_code == 200


async def test_of_racing_password_changes_one_counts(api):
    account = await api.member()
    news = [f"{NEW_PASSWORD} {number}" for number in range(6)]
    responses = await asyncio.gather(*(change_password(api, account, new=new) for new in news))
    assert sorted(response.status_code for response in responses) == [204] + [403] * 5
    (winner,) = [new for new, response in zip(news, responses, strict=True) if response.is_success]
    assert (await api.log_in(account.email, winner)).status_code == 200


async def test_a_new_password_ends_what_was_mailed_before(api, worker):
    account = await api.member()
    mail = await worker.put(
        f"/emails/{uuid.uuid4()}", json={"template": "reset", "user_id": account.id}
    )
    await ask_for(api, account, fresh_address())
    changing = await mint(worker, account)
    assert (await change_password(api, account)).status_code == 204
    body = {"token": token_of(mail), "password": "another new battery"}
    assert (await api.http.post("/password-resets/confirm", json=body)).status_code == 400
    assert (await confirm(api, token_of(changing))).status_code == 400


async def test_a_new_address_counts_once_its_link_was_followed(api, worker, sql):
    account, new = await api.member(), fresh_address()
    response = await ask_for(api, account, new)
    assert response.status_code == 202
    jobs = await sql.fetch("SELECT payload FROM jobs.jobs WHERE kind = 'email.send'")
    wanted = {"template": "change_email", "user_id": account.id}
    assert wanted in [json.loads(row["payload"]) for row in jobs]
    read = await api.http.get(f"/users/{account.id}", headers=account.bearer)
    assert read.json()["email"] == account.email
    mail = await mint(worker, account)
    assert (mail.status_code, mail.json()["to"]) == (200, new)
    assert (await confirm(api, token_of(mail))).status_code == 204
    read = await api.http.get(f"/users/{account.id}", headers=account.bearer)
    assert (read.json()["email"], read.json()["email_verified"]) == (new, True)
    assert read.headers["etag"] == '"v2"'
    assert (await api.log_in(new)).status_code == 200
    assert (await api.log_in(account.email)).status_code == 400
    assert (await confirm(api, token_of(mail))).status_code == 400
    assert (await mint(worker, account)).status_code == 404


async def notices(sql, account):
    """The security notifications that were queued for the account: template and job."""
    rows = await sql.fetch("SELECT id, payload FROM jobs.jobs WHERE kind = 'email.send'")
    found = [(json.loads(row["payload"]), row["id"]) for row in rows]
    return [
        (mail["template"], job_id)
        for mail, job_id in found
        if mail["user_id"] == account.id and mail["template"].endswith("_changed")
    ]


async def verified(api, worker):
    account = await api.member()
    body = {"template": "verify", "user_id": account.id}
    mail = await worker.put(f"/emails/{uuid.uuid4()}", json=body)
    assert (await confirm(api, token_of(mail))).status_code == 204
    return account


async def test_the_former_address_gets_an_email_about_the_change(api, worker, sql):
    account = await verified(api, worker)
    await ask_for(api, account, fresh_address())
    assert (await confirm(api, token_of(await mint(worker, account)))).status_code == 204
    ((template, job_id),) = await notices(sql, account)
    body = {"template": template, "user_id": account.id}
    emails = [(await worker.put(f"/emails/{job_id}", json=body)).json() for _ in range(2)]
    assert [(email["to"], email["name"]) for email in emails] == [(account.email, "Ada")] * 2
    assert len({email["link"] for email in emails}) == 2
    assert emails[0]["link"].startswith("https://app.test/undo-email-change?token=")
    export = await api.http.get(f"/users/{account.id}/export", headers=account.bearer)
    assert account.email in [mail["email"] for mail in export.json()["mails"]]
    assert (await worker.put(f"/emails/{uuid.uuid4()}", json=body)).status_code == 404


async def test_a_new_password_sends_an_email_to_the_address(api, worker, sql):
    account = await verified(api, worker)
    assert (await change_password(api, account)).status_code == 204
    ((template, job_id),) = await notices(sql, account)
    body = {"template": template, "user_id": account.id}
    email = await worker.put(f"/emails/{job_id}", json=body)
    assert (email.json()["to"], email.json()["link"]) == (account.email, None)


async def test_an_unverified_address_gets_no_notices(api, worker, sql):
    account = await api.member()
    assert (await change_password(api, account)).status_code == 204
    await ask_for(api, account, fresh_address(), password=NEW_PASSWORD)
    assert (await confirm(api, token_of(await mint(worker, account)))).status_code == 204
    assert await notices(sql, account) == []


async def test_a_taken_address_answers_alike_and_gets_no_mail(api, worker, sql):
    account, other = await api.member(), await api.register()
    responses, exports, counts = [], [], []
    for email in (fresh_address(), other.email.upper()):
        responses.append(await ask_for(api, account, email))
        counts.append(await sql.fetchval("SELECT count(*) FROM jobs.jobs"))
        found = await api.http.get(f"/users/{account.id}/export", headers=account.bearer)
        exports.append(found.json()["pending_email"].lower() == email.lower())
    assert [response.status_code for response in responses] == [202, 202]
    assert responses[0].content == responses[1].content
    assert (counts[1], exports) == (counts[0] + 1, [True, True])
    assert (await mint(worker, account)).status_code == 404


async def test_of_two_who_want_one_address_the_first_to_confirm_gets_it(api, worker):
    accounts = [await api.member(), await api.member()]
    new = fresh_address()
    tokens = []
    for account in accounts:
        await ask_for(api, account, new)
        tokens.append(token_of(await mint(worker, account)))
    responses = await asyncio.gather(*(confirm(api, token) for token in tokens))
    assert sorted(response.status_code for response in responses) == [204, 409]


async def test_a_later_wish_ends_the_earlier_one(api, worker):
    account = await api.member()
    await ask_for(api, account, fresh_address())
    first = token_of(await mint(worker, account))
    await ask_for(api, account, fresh_address())
    assert (await confirm(api, first)).status_code == 400
    assert (await confirm(api, token_of(await mint(worker, account)))).status_code == 204


@pytest.mark.parametrize("password", [None, "not this one"])
async def test_an_address_changes_by_the_password_alone(api, worker, password):
    account = await api.member()
    response = await ask_for(api, account, fresh_address(), password=password)
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (
        403,
        "/body/password",
    )
    assert (await mint(worker, account)).status_code == 404


async def test_sessions_are_listed_with_ones_own_marked(api):
    account = await api.member()
    await api.log_in(account.email, user_agent="Browser", address="192.0.2.7")
    response = await api.http.get(f"/users/{account.id}/sessions", headers=account.bearer)
    found = response.json()["items"]
    assert [entry["current"] for entry in found] == [False, True]
    assert (found[0]["user_agent"], found[0]["address"]) == ("Browser", "192.0.2.7")
    assert found[1]["id"] == account.session_id


async def test_an_ended_session_is_marked_and_leaves_the_list(api, process):
    account = await api.member()
    other = (await api.log_in(account.email)).json()
    path = f"/users/{account.id}/sessions"
    listed = (await api.http.get(path, headers=account.bearer)).json()["items"]
    (ended,) = [entry["id"] for entry in listed if not entry["current"]]
    responses = [await api.http.delete(f"{path}/{ended}", headers=account.bearer) for _ in range(2)]
    assert [response.status_code for response in responses] == [204, 404]
    assert await process.backing.redis.exists(revocation_key(uuid.UUID(ended)))
    assert (await api.refresh(other["refresh_token"])).status_code == 400
    left = (await api.http.get(path, headers=account.bearer)).json()["items"]
    assert [entry["id"] for entry in left] == [account.session_id]


async def test_the_session_of_another_account_cannot_be_ended(api):
    account, other = await api.member(), await api.member()
    path = f"/users/{account.id}/sessions/{other.session_id}"
    assert (await api.http.delete(path, headers=account.bearer)).status_code == 404
    assert (await api.refresh(other.tokens["refresh_token"])).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "password", {"current": PASSWORD, "new": NEW_PASSWORD}),
        ("POST", "email", {"email": "mine@example.org"}),
        ("GET", "sessions", None),
        ("DELETE", "sessions/01a209b3-1f5e-74e9-a682-3dcf22b37e3e", None),
        ("GET", "export", None),
    ],
)
async def test_what_is_between_a_person_and_their_credentials_is_no_admins_either(
    api, sql, method, path, body
):
    account, admin = await api.register(), await api.admin(sql)
    url = f"/users/{account.id}/{path}"
    response = await api.http.request(method, url, headers=admin.bearer, json=body)
    assert response.status_code == 403


async def test_an_export_holds_what_is_kept_and_no_secret(api, worker, sql):
    account = await api.member()
    await ask_for(api, account, "elsewhere@example.org")
    token = token_of(await mint(worker, account))
    response = await api.http.get(f"/users/{account.id}/export", headers=account.bearer)
    export = response.json()
    assert export["user"] == account.body
    assert [entry["id"] for entry in export["sessions"]] == [account.session_id]
    assert len(export["active_days"]) == 1
    assert [mail["purpose"] for mail in export["mails"]] == ["change"]
    assert (export["avatar"], export["pending_email"]) == ([], "elsewhere@example.org")
    for secret in ("argon2", "hash", token, account.tokens["refresh_token"]):
        assert secret not in response.text
