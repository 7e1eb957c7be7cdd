"""Accounts at the edge: the cache first, users for the rest."""

import json
from datetime import timedelta
from uuid import UUID

import pytest

from twelvefold.cache.cache import CacheEntry
from twelvefold.contracts.accounts import Role
from twelvefold.contracts.images import Variant
from twelvefold.identifiers import new_id

PASSWORD = "correct horse battery staple"


def registration() -> dict[str, str]:
    return {"email": f"{new_id().hex}@example.com", "name": "Ada", "password": PASSWORD}


@pytest.fixture
async def account(anonymous, users, sign_in):
    """A registered account, signed in."""
    response = await anonymous.post("/api/v1/users", json=registration())
    assert response.status_code == 201, response.text
    token = users.token_for(users.accounts[_id(response)].user.id)
    anonymous.headers["authorization"] = f"Bearer {token}"
    return response.json()


def _id(response):
    return UUID(response.json()["id"])


async def test_a_registration_is_answered_with_its_place_and_version(anonymous):
    response = await anonymous.post("/api/v1/users", json=registration())
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/v1/users/{response.json()['id']}"
    assert response.headers["etag"] == '"v1"'
    assert "password" not in response.text


async def test_a_taken_address_is_409(anonymous):
    body = registration()
    assert (await anonymous.post("/api/v1/users", json=body)).status_code == 201
    again = await anonymous.post("/api/v1/users", json=body)
    assert again.status_code == 409
    assert again.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"email": "nobody"}, "/body/email"),
        ({"name": ""}, "/body/name"),
        ({"name": "a\u0007b"}, "/body/name"),
        ({"password": "short"}, "/body/password"),
        ({"role": "admin"}, "/body/role"),
    ],
)
async def test_bad_fields_are_named_and_never_echoed(anonymous, change, pointer):
    response = await anonymous.post("/api/v1/users", json={**registration(), **change})
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
    assert PASSWORD not in response.text
    assert "short" not in response.text.replace("shorter", "")


async def test_a_cached_account_is_served_byte_by_byte_without_users(api, users, sign_in):
    caller = await sign_in()
    body = json.dumps({"id": str(caller.id), "name": "from the cache"}).encode()
    await api.backing.cache.set(f"user:{caller.id}", CacheEntry(7, body), 60)
    asked = users.calls.count("get")
    for path in ("/api/v1/users/me", f"/api/v1/users/{caller.id}"):
        response = await caller.client.get(path)
        assert (response.status_code, response.content) == (200, body)
        assert response.headers["etag"] == '"v7"'
        assert response.headers["cache-control"] == "private, no-cache"
        same = await caller.client.get(path, headers={"if-none-match": '"v7"'})
        assert (same.status_code, same.content) == (304, b"")
        other = await caller.client.get(path, headers={"if-none-match": '"v6"'})
        assert other.status_code == 200
    assert users.calls.count("get") == asked


async def test_a_known_absence_is_404_without_users(api, users, sign_in):
    caller = await sign_in()
    await api.backing.cache.set(f"user:{caller.id}", CacheEntry(2, None), 60)
    asked = users.calls.count("get")
    assert (await caller.client.get("/api/v1/users/me")).status_code == 404
    assert users.calls.count("get") == asked


async def test_what_is_not_cached_is_asked_of_users(anonymous, account):
    response = await anonymous.get("/api/v1/users/me")
    assert (response.status_code, response.json()) == (200, account)


async def test_with_caching_off_users_is_asked_each_time(open_api, users, account, api):
    from .conftest import client_of

    process = await open_api(enable_caching=False)
    token = users.token_for(UUID(account["id"]))
    await api.backing.cache.set(f"user:{account['id']}", CacheEntry(9, b"{}"), 60)
    async with client_of(process, token) as client:
        assert (await client.get("/api/v1/users/me")).json() == account


async def test_anothers_account_is_403_whether_it_exists_or_not(ada, bob, admin, account):
    for user_id in (account["id"], new_id()):
        assert (await ada.client.get(f"/api/v1/users/{user_id}")).status_code == 403
        assert (await ada.client.get(f"/api/v1/users/{user_id}/avatar/128")).status_code == 403
    assert (await admin.client.get(f"/api/v1/users/{account['id']}")).json() == account
    assert (await admin.client.get(f"/api/v1/users/{new_id()}")).status_code == 404


async def test_a_change_needs_the_version_that_it_is_based_on(anonymous, account):
    async def patch(**headers):
        return await anonymous.patch("/api/v1/users/me", json={"name": "Lovelace"}, headers=headers)

    assert (await patch()).status_code == 428
    assert (await patch(**{"if-match": '"v9"'})).status_code == 412
    assert (await patch(**{"if-match": 'W/"v1"'})).status_code == 412
    done = await patch(**{"if-match": '"v1"'})
    assert (done.status_code, done.json()["name"]) == (200, "Lovelace")
    assert done.headers["etag"] == '"v2"'
    assert (await patch(**{"if-match": '"v1"'})).status_code == 412


async def test_an_account_deletes_itself(anonymous, account):
    stale = await anonymous.delete("/api/v1/users/me", headers={"if-match": '"v9"'})
    assert stale.status_code == 412
    done = await anonymous.delete("/api/v1/users/me")
    assert (done.status_code, done.content) == (204, b"")


async def test_a_deletion_by_an_old_login_is_401_and_says_how_old_it_may_be(
    anonymous, account, users
):
    login = {"grant_type": "password", "username": account["email"], "password": PASSWORD}
    pair = (await anonymous.post("/api/v1/auth/token", data=login)).json()
    anonymous.headers["authorization"] = f"Bearer {pair['access_token']}"
    sessions = users.accounts[UUID(account["id"])].sessions
    for session_id, session in sessions.items():
        old = session.created_at - timedelta(minutes=6)
        sessions[session_id] = session.model_copy(update={"created_at": old})
    response = await anonymous.delete("/api/v1/users/me")
    assert response.status_code == 401
    assert response.json()["type"] == "/problems/reauthentication-required"
    assert response.headers["www-authenticate"] == (
        'Bearer realm="twelvefold", error="insufficient_user_authentication", max_age="300"'
    )


async def test_an_avatar_is_a_redirect_to_its_bytes(api, users, anonymous, account):
    import httpx

    path = f"/api/v1/users/{account['id']}/avatar/128"
    assert (await anonymous.get(path)).status_code == 404
    key = f"variants/{account['id']}"

    async def content():
        yield b"webp"

    await api.backing.object_store.put(key, content(), "image/webp")
    variant = Variant(
        name="128", object_key=key, content_type="image/webp", width=1, height=1, size=4
    )
    found = next(a for a in users.accounts.values() if str(a.user.id) == account["id"])
    found.avatar = [variant]
    response = await anonymous.get(path)
    assert (response.status_code, response.headers["cache-control"]) == (307, "private, no-store")
    async with httpx.AsyncClient() as anonymous_client:
        assert (await anonymous_client.get(response.headers["location"])).content == b"webp"


async def test_the_response_to_a_narrow_token_names_the_missing_scope(sign_in):
    caller = await sign_in(scope="images:read")
    response = await caller.client.get("/api/v1/users/me")
    assert response.status_code == 403
    assert 'error="insufficient_scope", scope="users:read"' in response.headers["www-authenticate"]


async def test_an_admins_token_without_the_scope_is_no_admins(sign_in, account):
    caller = await sign_in(Role.ADMIN, scope="users:read")
    assert (await caller.client.get(f"/api/v1/users/{account['id']}")).status_code == 403
