"""Undoing a change of the address from the address before: what it restores, ends and keeps."""

import asyncio
import json
import uuid

from tests.integration.users.running_users import PASSWORD, registration
from tests.integration.users.test_own_changes import (
    ask_for,
    change_password,
    confirm,
    fresh_address,
    mint,
    notices,
    token_of,
    verified,
)

from twelvefold.security.revocation import revocation_key


async def move(api, worker, account, email=None):
    """Changes the account's address by the password and a click on the new one's link."""
    email = email or fresh_address()
    assert (await ask_for(api, account, email)).status_code == 202
    assert (await confirm(api, token_of(await mint(worker, account)))).status_code == 204
    return email


async def undo_tokens(worker, sql, account):
    """Tokens of the emails to each former address, by address."""
    found = {}
    for template, job_id in await notices(sql, account):
        if template == "email_changed":
            body = {"template": template, "user_id": account.id}
            email = await worker.put(f"/emails/{job_id}", json=body)
            found[email.json()["to"]] = token_of(email)
    return found


async def undo(api, token):
    return await api.http.post("/email-changes/undo", json={"token": token})


async def queued(sql, account, template):
    rows = await sql.fetch("SELECT payload FROM jobs.jobs WHERE kind = 'email.send'")
    wanted = {"template": template, "user_id": account.id}
    return [json.loads(row["payload"]) for row in rows].count(wanted)


async def stored(sql, account):
    return await sql.fetchrow(
        "SELECT email, email_verified_at FROM users.accounts WHERE id = $1::uuid", account.id
    )


async def test_an_undo_restores_the_address_and_ends_what_a_thief_has(api, worker, sql, process):
    account = await verified(api, worker)
    taken = await move(api, worker, account)
    thief = (await api.log_in(taken)).json()
    reset = {"template": "reset", "user_id": account.id}
    links = [token_of(await worker.put(f"/emails/{uuid.uuid4()}", json=reset))]
    await ask_for(api, account, fresh_address())
    links.append(token_of(await mint(worker, account)))
    tokens = await undo_tokens(worker, sql, account)
    resets = await queued(sql, account, "reset")

    assert (await undo(api, tokens[account.email])).status_code == 204

    row = await stored(sql, account)
    assert row["email"] == account.email
    assert row["email_verified_at"] is not None
    assert await process.backing.redis.exists(revocation_key(uuid.UUID(account.session_id)))
    for pair in (account.tokens, thief):
        assert (await api.refresh(pair["refresh_token"])).status_code == 400
    for address in (account.email, taken):
        assert (await api.log_in(address, PASSWORD)).status_code == 400
    body = {"token": links[0], "password": "of the thief's choice"}
    assert (await api.http.post("/password-resets/confirm", json=body)).status_code == 400
    assert (await confirm(api, links[1])).status_code == 400
    assert (await mint(worker, account)).status_code == 404
    # One email to the restored address remains, by which its owner logs in again.
    assert await queued(sql, account, "reset") == resets + 1
    email = await worker.put(f"/emails/{uuid.uuid4()}", json=reset)
    assert email.json()["to"] == account.email
    body = {"token": token_of(email), "password": "a whole new battery"}
    assert (await api.http.post("/password-resets/confirm", json=body)).status_code == 204
    assert (await api.log_in(account.email, "a whole new battery")).status_code == 200


async def test_an_undo_counts_once_and_of_several_links_one(api, worker, sql):
    account = await verified(api, worker)
    await move(api, worker, account)
    tokens = [(await undo_tokens(worker, sql, account))[account.email] for _ in range(3)]
    responses = await asyncio.gather(*(undo(api, token) for token in tokens * 2))
    assert sorted(response.status_code for response in responses) == [204] + [400] * 5


async def test_an_undo_outlives_what_a_thief_does_with_the_password(api, worker, sql):
    account = await verified(api, worker)
    taken = await move(api, worker, account)
    token = (await undo_tokens(worker, sql, account))[account.email]
    assert (await change_password(api, account)).status_code == 204
    reset = {"template": "reset", "user_id": account.id}
    link = token_of(await worker.put(f"/emails/{uuid.uuid4()}", json=reset))
    body = {"token": link, "password": "of the thief's choice"}
    assert (await api.http.post("/password-resets/confirm", json=body)).status_code == 204
    assert (await api.log_in(taken, "of the thief's choice")).status_code == 200
    assert (await undo(api, token)).status_code == 204
    assert (await stored(sql, account))["email"] == account.email


async def test_a_later_address_cannot_end_the_first_owners_undo(api, worker, sql):
    account = await verified(api, worker)
    second = await move(api, worker, account)
    await move(api, worker, account)
    tokens = await undo_tokens(worker, sql, account)
    assert set(tokens) == {account.email, second}
    assert (await undo(api, tokens[second])).status_code == 204
    assert (await stored(sql, account))["email"] == second
    assert (await undo(api, tokens[account.email])).status_code == 204
    assert (await stored(sql, account))["email"] == account.email


async def test_the_first_owners_undo_ends_those_of_later_addresses(api, worker, sql):
    account = await verified(api, worker)
    second = await move(api, worker, account)
    await move(api, worker, account)
    tokens = await undo_tokens(worker, sql, account)
    assert (await undo(api, tokens[account.email])).status_code == 204
    assert (await undo(api, tokens[second])).status_code == 400
    assert (await api.http.post("/users", json=registration(second))).status_code == 201


async def test_the_former_address_is_reserved_for_seven_days(api, worker, sql):
    account, other = await verified(api, worker), await api.member()
    await move(api, worker, account)
    refused = await api.http.post("/users", json=registration(account.email.upper()))
    assert refused.status_code == 409
    keyed = await api.http.post(
        "/users", json=registration(account.email), headers={"Idempotency-Key": uuid.uuid4().hex}
    )
    assert keyed.status_code == 409
    assert (await ask_for(api, other, account.email)).status_code == 202
    assert (await mint(worker, other)).status_code == 404
    kept = await sql.fetchval(
        "SELECT expires_at - created_at FROM users.address_reservations WHERE account_id = $1",
        account.id,
    )
    assert kept.total_seconds() == 7 * 86400

    token = (await undo_tokens(worker, sql, account))[account.email]
    await sql.execute("UPDATE users.address_reservations SET expires_at = now()")
    assert (await undo(api, token)).status_code == 400
    assert (await api.http.post("/users", json=registration(account.email))).status_code == 201


async def test_an_address_that_was_reserved_after_the_link_was_sent_is_not_taken(api, worker, sql):
    account, other = await verified(api, worker), await api.member()
    await sql.execute(
        "UPDATE users.accounts SET email = $2, email_key = $2 WHERE id = $1::uuid",
        account.id,
        f"meanwhile.{uuid.uuid4().hex}@example.com",
    )
    await ask_for(api, other, account.email)
    token = token_of(await mint(worker, other))
    await sql.execute(
        "UPDATE users.accounts SET email = $2, email_key = $2 WHERE id = $1::uuid",
        account.id,
        account.email,
    )
    await move(api, worker, account)
    assert (await confirm(api, token)).status_code == 409


async def test_of_a_registration_and_a_change_that_gives_the_address_up_none_takes_it(
    api, worker, sql
):
    for _ in range(5):
        account = await verified(api, worker)
        await ask_for(api, account, fresh_address())
        token = token_of(await mint(worker, account))
        changed, registered = await asyncio.gather(
            confirm(api, token), api.http.post("/users", json=registration(account.email))
        )
        assert (changed.status_code, registered.status_code) == (204, 409)
        tokens = await undo_tokens(worker, sql, account)
        assert (await undo(api, tokens[account.email])).status_code == 204


async def test_its_own_former_address_may_be_taken_again(api, worker, sql):
    account = await verified(api, worker)
    await move(api, worker, account)
    token = (await undo_tokens(worker, sql, account))[account.email]
    await move(api, worker, account, account.email)
    assert (await stored(sql, account))["email"] == account.email
    assert (await undo(api, token)).status_code == 400


async def test_another_spelling_of_the_address_is_no_change_to_undo(api, worker, sql):
    account = await verified(api, worker)
    await move(api, worker, account, account.email.upper())
    assert await notices(sql, account) == []


async def test_a_disabled_account_is_not_undone(api, worker, sql):
    account = await verified(api, worker)
    await move(api, worker, account)
    token = (await undo_tokens(worker, sql, account))[account.email]
    await sql.execute(
        "UPDATE users.accounts SET disabled_at = now() WHERE id = $1::uuid", account.id
    )
    assert (await undo(api, token)).status_code == 400


async def test_a_made_up_token_and_one_for_another_purpose_undo_nothing(api, worker):
    account = await api.register()
    body = {"template": "reset", "user_id": account.id}
    reset = token_of(await worker.put(f"/emails/{uuid.uuid4()}", json=body))
    for token in ("made-up", reset):
        response = await undo(api, token)
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (
            400,
            "/body/token",
        )


async def test_an_export_names_the_addresses_that_can_be_restored(api, worker):
    account = await verified(api, worker)
    await move(api, worker, account)
    export = await api.http.get(f"/users/{account.id}/export", headers=account.bearer)
    assert export.json()["reserved_emails"] == [account.email]
