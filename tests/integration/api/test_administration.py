"""Accounts beyond the profile: credentials, sessions, export; lists and numbers for admins."""

from datetime import UTC, datetime, timedelta

import pytest

from twelvefold.contracts.accounts import Role
from twelvefold.identifiers import new_id

PASSWORD = "correct horse battery staple"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
ME = "/api/v1/users/me"


@pytest.fixture
async def account(api, anonymous):
    """Registered and logged in: the client carries the token, the account is returned."""
    new = {"email": f"{new_id().hex}@example.com", "name": "Ada", "password": PASSWORD}
    user = (await anonymous.post("/api/v1/users", json=new)).json()
    form = {"grant_type": "password", "username": new["email"], "password": PASSWORD}
    pair = (await anonymous.post("/api/v1/auth/token", data=form)).json()
    anonymous.headers["authorization"] = f"Bearer {pair['access_token']}"
    return user


async def test_a_password_is_changed_by_who_knows_the_current_one(anonymous, account):
    path = f"{ME}/password"
    wrong = await anonymous.post(path, json={"current": "not it", "new": "quite another one"})
    assert (wrong.status_code, wrong.json()["type"]) == (403, "/problems/forbidden")
    right = await anonymous.post(path, json={"current": PASSWORD, "new": "quite another one"})
    assert (right.status_code, right.content) == (204, b"")
    assert right.headers["ratelimit-policy"].startswith('"credentials";')
    short = await anonymous.post(path, json={"current": "quite another one", "new": "short"})
    assert short.status_code == 422
    assert "short" not in short.text.replace("shorter", "")


async def test_a_new_address_gets_the_mail(anonymous, account, users):
    email = f"{new_id().hex}@example.org"
    refused = await anonymous.post(f"{ME}/email", json={"email": email})
    assert refused.status_code == 403
    response = await anonymous.post(f"{ME}/email", json={"email": email, "password": PASSWORD})
    assert (response.status_code, response.content) == (202, b"")
    assert ("change", email) in users.mailed
    assert response.headers["ratelimit-policy"].startswith('"mail";')


async def test_sessions_are_listed_and_ended(anonymous, account):
    listed = (await anonymous.get(f"{ME}/sessions")).json()["items"]
    assert len(listed) == 1
    path = f"{ME}/sessions/{listed[0]['id']}"
    assert (await anonymous.delete(path)).status_code == 204
    assert (await anonymous.delete(path)).status_code == 404
    assert (await anonymous.get(f"{ME}/sessions")).json() == {"items": []}


async def test_an_export_has_the_account_its_images_and_jobs(anonymous, account):
    uploaded = await anonymous.post(
        "/api/v1/images", content=PNG, headers={"content-type": "image/png"}
    )
    response = await anonymous.get(f"{ME}/export")
    assert response.status_code == 200, response.text
    assert "attachment" in response.headers["content-disposition"]
    found = response.json()
    assert found["account"]["user"]["id"] == account["id"]
    assert [image["id"] for image in found["images"]] == [uploaded.json()["image"]["id"]]
    assert [job["id"] for job in found["jobs"]] == [uploaded.json()["job"]["id"]]
    assert "password" not in response.text.replace("password_changed_at", "")


async def test_admins_page_through_all_accounts(anonymous, account, admin, bob):
    for _ in range(2):
        new = {"email": f"{new_id().hex}@example.com", "name": "B", "password": PASSWORD}
        await anonymous.post("/api/v1/users", json=new)
    first = await admin.client.get("/api/v1/users?limit=2")
    assert first.status_code == 200, first.text
    assert 'rel="next"' in first.headers["link"]
    cursor = first.json()["next_cursor"]
    second = await admin.client.get("/api/v1/users", params={"limit": 2, "cursor": cursor})
    seen = [user["id"] for page in (first, second) for user in page.json()["items"]]
    assert len(set(seen)) == len(seen)
    assert account["id"] in seen
    assert (await admin.client.get("/api/v1/users?cursor=made-up")).status_code == 422
    assert (await bob.client.get("/api/v1/users")).status_code == 403


async def test_admins_change_the_standing_of_the_version_that_they_saw(account, admin, bob):
    path = f"/api/v1/users/{account['id']}"
    change = {"role": "admin", "disabled": True}
    assert (await admin.client.patch(path, json=change)).status_code == 428
    stale = await admin.client.patch(path, json=change, headers={"if-match": '"v9"'})
    assert stale.status_code == 412
    changed = await admin.client.patch(path, json=change, headers={"if-match": '"v1"'})
    assert changed.status_code == 200, changed.text
    assert changed.headers["etag"] == '"v2"'
    assert (changed.json()["role"], changed.json()["disabled"]) == ("admin", True)
    empty = await admin.client.patch(path, json={}, headers={"if-match": "*"})
    assert empty.status_code == 422
    refused = await bob.client.patch(path, json=change, headers={"if-match": "*"})
    assert refused.status_code == 403


async def test_each_day_has_its_numbers(anonymous, account, admin, bob):
    for _ in range(2):
        await anonymous.post("/api/v1/images", content=PNG, headers={"content-type": "image/png"})
    today = datetime.now(UTC).date()
    days = {"from": str(today - timedelta(days=1)), "to": str(today)}
    response = await admin.client.get("/api/v1/analytics/daily", params=days)
    assert response.status_code == 200, response.text
    rows = response.json()["items"]
    assert [row["day"] for row in rows] == list(days.values())
    assert rows[1]["registrations"] >= 1
    assert rows[1]["images"] >= 2
    queued = {(job["type"], job["status"]): job["count"] for job in rows[1]["jobs"]}
    assert queued["image.process", "queued"] >= 2
    assert rows[0] == {
        "day": days["from"],
        "registrations": 0,
        "active_users": 0,
        "images": 0,
        "jobs": [],
    }
    backwards = {"from": days["to"], "to": days["from"]}
    refused = await admin.client.get("/api/v1/analytics/daily", params=backwards)
    assert refused.status_code == 422
    assert (await bob.client.get("/api/v1/analytics/daily", params=days)).status_code == 403


async def test_analytics_can_be_switched_off(open_api, sign_in):
    process = await open_api(enable_analytics=False)
    caller = await sign_in(Role.ADMIN, process=process)
    days = {"from": "2026-01-01", "to": "2026-01-02"}
    assert (await caller.client.get("/api/v1/analytics/daily", params=days)).status_code == 404
