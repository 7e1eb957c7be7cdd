"""Reading, changing and deleting an account, by whom and under which condition."""

import asyncio
import time
import uuid

import jwt
import pytest
from prometheus_client import REGISTRY

from twelvefold.cache.cache import CacheEntry
from twelvefold.contracts.accounts import Role, user_cache_key
from twelvefold.security.keys import KeySet
from twelvefold.security.principals import scope_of
from twelvefold.security.revocation import revocation_key
from twelvefold.security.tokens import TokenIssuer


async def test_an_account_reads_itself_with_its_etag(api):
    account = await api.member()
    response = await api.http.get(f"/users/{account.id}", headers=account.bearer)
    assert (response.status_code, response.json()) == (200, account.body)
    assert response.headers["etag"] == account.etag


def cache_reads():
    counts = [
        REGISTRY.get_sample_value("cache_requests_total", {"outcome": outcome})
        for outcome in ("hit", "miss", "negative", "unavailable")
    ]
    return sum(count or 0 for count in counts)


async def test_a_read_comes_from_the_row_and_puts_its_document_into_the_cache(api, process):
    """The edge asks users where it has missed in the cache: users does not look there again."""
    account = await api.member()
    key, cache = user_cache_key(uuid.UUID(account.id)), process.backing.cache
    await process.backing.redis.delete(key)
    before = cache_reads()
    read = await api.http.get(f"/users/{account.id}", headers=account.bearer)
    assert cache_reads() == before
    assert await cache.get(key) == CacheEntry(1, read.content)


async def test_another_account_is_forbidden_whether_it_exists_or_not(api):
    account, other = await api.member(), await api.register()
    responses = [
        await api.http.get(f"/users/{target}", headers=account.bearer)
        for target in (other.id, uuid.uuid4())
    ]
    assert [response.status_code for response in responses] == [403, 403]
    assert responses[0].json()["detail"] == responses[1].json()["detail"]


async def test_an_admin_reads_every_account_and_learns_of_those_that_are_not(api, sql):
    account, bearer = await api.register(), (await api.admin(sql)).bearer
    assert (await api.http.get(f"/users/{account.id}", headers=bearer)).status_code == 200
    for _ in range(2):  # the second answer is a negative entry of the cache
        response = await api.http.get(f"/users/{uuid.uuid4()}", headers=bearer)
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"


async def test_the_bearer_token_is_verified_here_too(api):
    account = await api.member()
    stranger = TokenIssuer(KeySet.generate(), "twelvefold", "twelvefold-api")
    forged = stranger.issue(uuid.UUID(account.id), Role.ADMIN, scope_of(Role.ADMIN), uuid.uuid4())
    for headers in (
        {},
        {"Authorization": f"Bearer {forged}"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic YTpi"},
    ):
        response = await api.http.get(f"/users/{account.id}", headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_without_the_scope_may_not_write(api, use_cases):
    account = await api.member()
    claims = jwt.decode(account.tokens["access_token"], options={"verify_signature": False})
    narrow = use_cases.sessions.issuer.issue(
        uuid.UUID(account.id), Role.USER, "users:read", uuid.UUID(claims["sid"])
    )
    headers = {"Authorization": f"Bearer {narrow}", "If-Match": account.etag}
    read = await api.http.get(f"/users/{account.id}", headers=headers)
    written = await api.http.patch(f"/users/{account.id}", headers=headers, json={"name": "x"})
    assert (read.status_code, written.status_code) == (200, 403)


async def test_a_change_raises_the_version_and_is_read_at_once(api):
    account = await api.member()
    headers = {**account.bearer, "If-Match": account.etag}
    changed = await api.http.patch(
        f"/users/{account.id}", headers=headers, json={"name": "Countess"}
    )
    assert (changed.status_code, changed.headers["etag"]) == (200, '"v2"')
    read = await api.http.get(f"/users/{account.id}", headers=account.bearer)
    assert (read.content, read.headers["etag"]) == (changed.content, '"v2"')
    assert read.json()["name"] == "Countess"
    assert read.json()["updated_at"] > read.json()["created_at"]


async def test_a_change_needs_the_current_version(api, sql):
    account = await api.member()
    path, body = f"/users/{account.id}", {"name": "Countess"}
    assert (await api.http.patch(path, headers=account.bearer, json=body)).status_code == 428
    for tag in ('"v0"', '"v2"', 'W/"v1"', '"other"', "garbage"):
        headers = {**account.bearer, "If-Match": tag}
        assert (await api.http.patch(path, headers=headers, json=body)).status_code == 412, tag
    headers = {**account.bearer, "If-Match": "*"}
    assert (await api.http.patch(path, headers=headers, json=body)).status_code == 200
    absent = {**(await api.admin(sql)).bearer, "If-Match": "*"}
    response = await api.http.patch(f"/users/{uuid.uuid4()}", headers=absent, json=body)
    assert response.status_code == 404


@pytest.mark.parametrize("header", ['"v1", "v99"', '"v99","v1"', '"other", W/"v5", "v1"'])
async def test_a_change_goes_through_where_any_tag_of_the_list_is_current(api, header):
    account = await api.member()
    path = f"/users/{account.id}"
    headers = {**account.bearer, "If-Match": header}
    changed = await api.http.patch(path, headers=headers, json={"name": "Countess"})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"v2"')
    stale = await api.http.patch(path, headers=headers, json={"name": "Again"})
    assert stale.status_code == 412
    assert (await api.http.delete(path, headers=headers)).status_code == 412
    headers["If-Match"] = '"v99", "v2"'
    assert (await api.http.delete(path, headers=headers)).status_code == 204


async def test_of_racing_changes_the_version_counts_exactly_those_that_succeeded(api):
    account = await api.member()
    path, last = f"/users/{account.id}", account.etag
    body = b""
    for turn in range(10):
        headers = {**account.bearer, "If-Match": last}
        responses = await asyncio.gather(
            *(
                api.http.patch(path, headers=headers, json={"name": f"{turn} {number}"})
                for number in range(8)
            )
        )
        successes = [response for response in responses if response.status_code == 200]
        assert len(successes) == 1
        assert {response.status_code for response in responses} == {200, 412}
        last, body = successes[0].headers["etag"], successes[0].content
    read = await api.http.get(path, headers=account.bearer)
    assert read.headers["etag"] == last == '"v11"'
    assert read.content == body


@pytest.mark.parametrize(
    "body", [{"name": ""}, {"role": "admin"}, {"email": "b@example.com"}, {"disabled": True}]
)
async def test_what_is_not_ones_own_to_change_is_refused(api, body):
    account = await api.member()
    headers = {**account.bearer, "If-Match": "*"}
    response = await api.http.patch(f"/users/{account.id}", headers=headers, json=body)
    assert response.status_code == 422


async def test_a_deletion_removes_the_account_and_its_sessions_for_good(api, sql, process):
    account = await api.member()
    path = f"/users/{account.id}"
    headers = {**account.bearer, "If-Match": '"v7"'}
    assert (await api.http.delete(path, headers=headers)).status_code == 412
    headers["If-Match"] = account.etag
    assert (await api.http.delete(path, headers=headers)).status_code == 204
    assert (await api.http.get(path, headers=account.bearer)).status_code == 404
    assert (await api.http.delete(path, headers=account.bearer)).status_code == 404
    assert (await api.log_in(account.email)).status_code == 400
    assert (await api.refresh(account.tokens["refresh_token"])).status_code == 400
    assert await process.backing.redis.exists(revocation_key(uuid.UUID(account.id)))
    rows = await sql.fetchval(
        "SELECT count(*) FROM users.sessions WHERE account_id = $1::uuid", account.id
    )
    assert rows == 0
    again = await api.register(account.email)
    assert again.id != account.id


async def test_a_deletion_needs_a_login_of_the_last_five_minutes(api, sql):
    """By the session's row: a refreshed token is new, its login is not (RFC 9470)."""
    account = await api.member()
    path = f"/users/{account.id}"
    old = "UPDATE users.sessions SET created_at = now() - interval '301 s' WHERE id = $1::uuid"
    await sql.execute(old, account.session_id)
    account.tokens = (await api.refresh(account.tokens["refresh_token"])).json()
    response = await api.http.delete(path, headers=account.bearer)
    assert response.status_code == 401
    challenge = response.headers["www-authenticate"]
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'max_age="300"' in challenge
    assert (await api.http.get(path, headers=account.bearer)).status_code == 200
    account.tokens = (await api.log_in(account.email)).json()
    assert (await api.http.delete(path, headers=account.bearer)).status_code == 204


async def test_a_loader_that_is_late_cannot_bring_a_deleted_account_back(api, use_cases):
    account = await api.member()
    path, key = f"/users/{account.id}", user_cache_key(uuid.UUID(account.id))
    assert (await api.http.get(path, headers=account.bearer)).status_code == 200
    late = await use_cases.accounts.cached.cache.get(key)
    assert late.body is not None
    await api.http.delete(path, headers=account.bearer)
    assert await use_cases.accounts.cached.cache.set(key, late, 60)
    assert (await use_cases.accounts.cached.cache.get(key)).body is None


async def test_a_deletion_without_a_condition_takes_any_version(api):
    account = await api.member()
    headers = {**account.bearer, "If-Match": account.etag}
    await api.http.patch(f"/users/{account.id}", headers=headers, json={"name": "Countess"})
    response = await api.http.delete(f"/users/{account.id}", headers=account.bearer)
    assert (response.status_code, response.content) == (204, b"")


async def test_an_expired_token_is_refused(api, use_cases):
    account = await api.member()
    issuer = use_cases.sessions.issuer
    old = TokenIssuer(issuer._keys, issuer._issuer, issuer._audience, ttl=-10)
    token = old.issue(uuid.UUID(account.id), Role.USER, "users:read", uuid.uuid4())
    assert jwt.decode(token, options={"verify_signature": False})["exp"] < time.time()
    response = await api.http.get(
        f"/users/{account.id}", headers={"Authorization": f"Bearer {token}"}
    )
    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["www-authenticate"]
