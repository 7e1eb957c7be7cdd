"""What admins do with accounts, and what remains of those that are deleted."""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.users.running_users import registration

from twelvefold.security.revocation import revocation_key


async def administer(api, admin, account, match="*", **changes):
    headers = {**admin.bearer, "If-Match": match}
    url = f"/users/{account.id}/standing"
    return await api.http.patch(url, headers=headers, json=changes)


async def test_accounts_are_listed_newest_first_in_pages_without_gaps(api, sql):
    made = [(await api.register()).id for _ in range(5)]
    admin = await api.admin(sql)
    seen: list[str] = []
    query = {"limit": "2"}
    while len(seen) < 6:
        page = await api.http.get("/users", headers=admin.bearer, params=query)
        assert page.status_code == 200
        assert len(page.json()["items"]) == 2
        seen += [user["id"] for user in page.json()["items"]]
        after = page.json()["next"]
        if after is None:
            break
        query.update(after_time=after["created_at"], after_id=after["id"])
    assert seen[:6] == [admin.id, *reversed(made)]
    first = (await api.http.get("/users", headers=admin.bearer)).json()["items"][0]
    assert first == admin.body


async def test_the_last_page_has_no_next_one(api, sql):
    admin = await api.admin(sql)
    query = {"after_time": "2000-01-01T00:00:00", "after_id": str(uuid.uuid4())}
    page = await api.http.get("/users", headers=admin.bearer, params=query)
    assert page.json() == {"items": [], "next": None}


@pytest.mark.parametrize(
    "query",
    [{"limit": 0}, {"limit": 101}, {"after_id": str(uuid.uuid4())}, {"after_time": "x"}],
)
async def test_a_list_that_cannot_be_is_refused(api, sql, query):
    admin = await api.admin(sql)
    response = await api.http.get("/users", headers=admin.bearer, params=query)
    assert response.status_code == 422


async def test_routes_of_admins_refuse_other_roles(api):
    account = await api.member()
    days = {"from": "2026-01-01", "to": "2026-01-02"}
    responses = [
        await api.http.get("/users", headers=account.bearer),
        await administer(api, account, account, role="admin"),
        await api.http.get("/analytics/daily", headers=account.bearer, params=days),
    ]
    assert [response.status_code for response in responses] == [403] * 3


async def test_a_disabled_account_is_out_at_once_and_may_come_back(api, sql, process):
    admin, account = await api.admin(sql), await api.member()
    redis, sid = process.backing.redis, uuid.UUID(account.session_id)
    response = await administer(api, admin, account, account.etag, disabled=True)
    assert (response.status_code, response.json()["disabled"]) == (200, True)
    assert response.headers["etag"] == '"v2"'
    assert await redis.exists(revocation_key(sid), revocation_key(uuid.UUID(account.id))) == 2
    assert (await api.log_in(account.email)).status_code == 400
    assert (await api.refresh(account.tokens["refresh_token"])).status_code == 400
    response = await administer(api, admin, account, '"v2"', disabled=False)
    assert response.json()["disabled"] is False
    assert await redis.exists(revocation_key(uuid.UUID(account.id))) == 0
    assert await redis.exists(revocation_key(sid)) == 1
    assert (await api.log_in(account.email)).status_code == 200


async def test_a_demoted_admin_has_no_session_and_no_say(api, sql, process):
    admin, other = await api.admin(sql), await api.admin(sql)
    assert (await administer(api, admin, other, role="user")).json()["role"] == "user"
    assert await process.backing.redis.exists(revocation_key(uuid.UUID(other.session_id)))
    assert (await api.refresh(other.tokens["refresh_token"])).status_code == 400
    # Its token, which says admin for its remaining minutes, changes nothing any more.
    assert (await administer(api, other, admin, disabled=True)).status_code == 403


async def test_a_promotion_keeps_sessions_and_counts_from_the_next_token_on(api, sql):
    admin, account = await api.admin(sql), await api.member()
    assert (await administer(api, admin, account, role="admin")).status_code == 200
    pair = (await api.refresh(account.tokens["refresh_token"])).json()
    assert "admin" in pair["scope"].split()


async def test_what_an_account_is_already_changes_nothing(api, sql):
    admin, account = await api.admin(sql), await api.register()
    response = await administer(api, admin, account, role="user", disabled=False)
    assert (response.status_code, response.headers["etag"]) == (200, account.etag)


async def test_a_change_of_standing_needs_the_current_version_and_something_to_change(api, sql):
    admin, account = await api.admin(sql), await api.register()
    url = f"/users/{account.id}/standing"
    body = {"disabled": True}
    assert (await api.http.patch(url, headers=admin.bearer, json=body)).status_code == 428
    assert (await administer(api, admin, account, '"v9"', **body)).status_code == 412
    for empty in ({}, {"role": "root"}, {"name": "x"}):
        assert (await administer(api, admin, account, **empty)).status_code == 422
    unknown = await api.register()
    unknown.id = str(uuid.uuid4())
    assert (await administer(api, admin, unknown, **body)).status_code == 404


async def test_two_last_admins_who_demote_each_other_leave_one(api, sql):
    await sql.execute("UPDATE users.accounts SET role = 'user'")
    admins = [await api.admin(sql) for _ in range(2)]
    responses = await asyncio.gather(
        administer(api, admins[0], admins[1], role="user"),
        administer(api, admins[1], admins[0], disabled=True),
    )
    assert sorted(response.status_code for response in responses) == [200, 403]
    left = await sql.fetchval(
        "SELECT count(*) FROM users.accounts WHERE role = 'admin' AND disabled_at IS NULL"
    )
    assert left == 1
    last = admins[0] if responses[0].status_code == 200 else admins[1]
    for changes in ({"role": "user"}, {"disabled": True}):
        assert (await administer(api, last, last, **changes)).status_code == 409


async def test_of_two_last_admins_who_delete_themselves_one_stays(api, sql):
    await sql.execute("UPDATE users.accounts SET role = 'user'")
    admins = [await api.admin(sql) for _ in range(2)]
    responses = await asyncio.gather(
        *(api.http.delete(f"/users/{admin.id}", headers=admin.bearer) for admin in admins)
    )
    assert sorted(response.status_code for response in responses) == [204, 409]
    last = admins[0] if responses[0].status_code == 409 else admins[1]
    assert (await api.log_in(last.email)).status_code == 200


async def test_a_disabled_admin_is_no_last_one(api, sql):
    await sql.execute("UPDATE users.accounts SET role = 'user'")
    admin = await api.admin(sql)
    await sql.execute("UPDATE users.accounts SET disabled_at = now() WHERE id = $1::uuid", admin.id)
    response = await api.http.delete(f"/users/{admin.id}", headers=admin.bearer)
    assert response.status_code == 204


async def test_a_deletion_queues_the_erasure_once(api, sql):
    account = await api.member()
    response = await api.http.delete(f"/users/{account.id}", headers=account.bearer)
    assert response.status_code == 204
    await api.http.delete(f"/users/{account.id}", headers=account.bearer)
    rows = await sql.fetch("SELECT payload FROM jobs.jobs WHERE kind = 'account.erase'")
    found = [json.loads(row["payload"]) for row in rows]
    assert found.count({"user_id": account.id}) == 1


@pytest.mark.parametrize("how", ["row", "job"])
async def test_the_last_admin_is_not_erased(api, worker, sql, how):
    await sql.execute("UPDATE users.accounts SET role = 'user'")
    admin, member = await api.admin(sql), await api.member()
    path, body = f"/users/{admin.id}/erasure", {"job_id": str(uuid.uuid4())}
    response = (
        await worker.post(path, json=body)
        if how == "job"
        else await api.http.get(path, headers=admin.bearer)
    )
    assert (response.status_code, response.headers["content-type"]) == (
        409,
        "application/problem+json",
    )
    kept = "SELECT count(*) FROM users.accounts WHERE id = $1::uuid"
    assert await sql.fetchval(kept, admin.id) == 1
    # Anybody else may be, and it with another admin beside it.
    other = f"/users/{member.id}/erasure"
    assert (await api.http.get(other, headers=admin.bearer)).status_code == 204
    second = await api.admin(sql)
    assert (await api.http.get(path, headers=second.bearer)).status_code == 204
    assert (await worker.post(path, json=body)).status_code == 204
    assert (await worker.post(path, json=body)).status_code == 204
    assert await sql.fetchval(kept, admin.id) == 0


async def test_two_last_admins_who_are_erased_at_once_leave_one(api, worker, sql):
    await sql.execute("UPDATE users.accounts SET role = 'user'")
    admins = [await api.admin(sql) for _ in range(2)]
    body = {"job_id": str(uuid.uuid4())}
    responses = await asyncio.gather(
        *(worker.post(f"/users/{admin.id}/erasure", json=body) for admin in admins)
    )
    assert sorted(response.status_code for response in responses) == [204, 409]
    left = "SELECT count(*) FROM users.accounts WHERE role = 'admin'"
    assert await sql.fetchval(left) == 1


async def test_a_former_admin_may_not_ask_for_an_erasure(api, sql):
    admin, other, member = await api.admin(sql), await api.admin(sql), await api.member()
    path = f"/users/{member.id}/erasure"
    assert (await api.http.get(path, headers=member.bearer)).status_code == 403
    assert (await administer(api, admin, other, role="user")).status_code == 200
    # Its token still says admin.
    assert (await api.http.get(path, headers=other.bearer)).status_code == 403


async def test_after_the_erasure_nothing_leads_to_the_account(api, worker, sql):
    account = await api.member()
    keyed = {"Idempotency-Key": str(uuid.uuid4())}
    gone = await api.http.post(
        "/users", json=registration(f"gone.{uuid.uuid4().hex}@example.com"), headers=keyed
    )
    await api.log_in(gone.json()["email"])
    for target in (account.id, gone.json()["id"]):
        for _ in range(2):
            response = await worker.post(
                f"/users/{target}/erasure", json={"job_id": str(uuid.uuid4())}
            )
            assert (response.status_code, response.content) == (204, b"")
        tables = await sql.fetch(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'users'"
        )
        for (table,) in tables:
            rows = await sql.fetch(f'SELECT * FROM users."{table}"')
            assert target not in str(rows), table


async def test_registrations_and_active_accounts_survive_deletion(api, worker, sql):
    admin = await api.admin(sql)
    today = datetime.now(UTC).date()
    days = {"from": str(today - timedelta(1)), "to": str(today)}

    async def counted():
        response = await api.http.get("/analytics/daily", headers=admin.bearer, params=days)
        assert response.status_code == 200
        return response.json()["items"]

    before = await counted()
    assert [entry["day"] for entry in before] == [days["from"], days["to"]]
    accounts = [await api.member() for _ in range(3)]
    for account in accounts[:2]:
        await api.http.delete(f"/users/{account.id}", headers=account.bearer)
        await worker.post(f"/users/{account.id}/erasure", json={"job_id": str(uuid.uuid4())})
    after = await counted()
    assert after[1]["registrations"] == before[1]["registrations"] + 3
    assert after[1]["active_users"] == before[1]["active_users"] + 3


@pytest.mark.parametrize(
    "days",
    [
        {"from": "2026-01-02", "to": "2026-01-01"},
        {"from": "2025-01-01", "to": "2026-01-02"},
        {"from": "2026-01-01"},
        {"from": "x", "to": "2026-01-01"},
    ],
)
async def test_a_span_of_days_is_bounded(api, sql, days):
    admin = await api.admin(sql)
    response = await api.http.get("/analytics/daily", headers=admin.bearer, params=days)
    assert response.status_code == 422


async def test_a_span_of_a_leap_year_is_whole(api, sql):
    admin = await api.admin(sql)
    days = {"from": "2024-01-01", "to": "2024-12-31"}
    response = await api.http.get("/analytics/daily", headers=admin.bearer, params=days)
    assert len(response.json()["items"]) == 366
