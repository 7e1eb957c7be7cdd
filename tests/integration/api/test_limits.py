"""Rate limits: the key of a request, its response headers, and the limits without Redis."""

import re
import time

import httpx
import pytest
import redis.asyncio

from api.rate_limits import AccountLimit
from twelvefold.contracts.accounts import Role
from twelvefold.http.edge.rate_limits import RateLimitName
from twelvefold.identifiers import new_id
from twelvefold.observability.metrics import REGISTRY
from twelvefold.security.revocation import revocation_key
from twelvefold.security.tokens import TOKEN_TTL

from .conftest import client_of

# A machine that runs other tests beside may be slow: none of them is about that.
FEW = {
    "redis_timeout": 5.0,
    **{f"rate_limit_{limit.value}": 3 for limit in (*RateLimitName, *AccountLimit)},
}
NOWHERE = "redis://127.0.0.1:9/0"
WRONG = {"grant_type": "password", "username": "nobody@example.com", "password": "wrong"}


@pytest.fixture(scope="module")
async def strict(open_api):
    """A process that admits three a minute of everything."""
    return await open_api(**FEW)


def at(process, address: str, token: str | None = None) -> httpx.AsyncClient:
    """A client whose address the server sees as `address`."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(process.public, client=(address, 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://api.test", headers=headers)


def new_address() -> str:
    """Of a /64 that no other test uses."""
    tail = new_id().hex[-8:]
    return f"2001:db8:{tail[:4]}:{tail[4:]}::1"


def assert_limited(response, policy: str) -> None:
    assert response.status_code == 429, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "/problems/too-many-requests"
    assert 1 <= int(response.headers["retry-after"]) <= 20
    assert response.headers["ratelimit-policy"] == f'"{policy}";q=3;w=60'
    assert re.fullmatch(rf'"{policy}";r=0;t=\d+', response.headers["ratelimit"])


async def test_every_response_states_the_remaining_quota_and_the_fourth_is_refused(strict, sign_in):
    for role, policy in ((Role.USER, "user"), (Role.ADMIN, "admin")):
        caller = await sign_in(role, process=strict)
        for left, path in zip((2, 1, 0), ("", f"/{new_id()}", "?limit=0"), strict=True):
            response = await caller.client.get(f"/api/v1/images{path}")
            assert response.status_code in (200, 404, 422)
            assert response.headers["ratelimit-policy"] == f'"{policy}";q=3;w=60'
            assert response.headers["ratelimit"].startswith(f'"{policy}";r={left};t=')
            assert "retry-after" not in response.headers
        assert_limited(await caller.client.get("/api/v1/jobs"), policy)


async def test_accounts_do_not_share_and_addresses_do_not_count_for_them(strict, sign_in):
    first, second = await sign_in(process=strict), await sign_in(process=strict)
    for _ in range(3):
        await first.client.get("/api/v1/images")
    assert_limited(await first.client.get("/api/v1/images"), "user")
    assert (await second.client.get("/api/v1/images")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "policy"),
    [
        ("GET", "/.well-known/jwks.json", "anonymous"),
        ("POST", "/api/v1/auth/token", "credentials"),
        ("POST", "/api/v1/auth/revoke", "credentials"),
        ("POST", "/api/v1/auth/email-verifications/confirm", "credentials"),
        ("POST", "/api/v1/auth/password-resets/confirm", "credentials"),
        ("POST", "/api/v1/auth/email-changes/undo", "credentials"),
        ("POST", "/api/v1/auth/email-verifications", "mail"),
        ("POST", "/api/v1/auth/password-resets", "mail"),
        ("POST", "/api/v1/users", "registration"),
    ],
)
async def test_without_a_token_the_address_counts(strict, method, path, policy):
    async with at(strict, new_address()) as client:
        for _ in range(3):
            response = await client.request(method, path)
            assert response.status_code in (200, 400, 422)
            assert response.headers["ratelimit-policy"] == f'"{policy}";q=3;w=60'
        assert_limited(await client.request(method, path), policy)
    async with at(strict, new_address()) as client:
        assert (await client.request(method, path)).status_code != 429


async def test_emails_of_many_accounts_at_one_address_count_together(strict, sign_in):
    address, responses = new_address(), []
    for _ in range(4):
        caller = await sign_in(process=strict)
        async with at(strict, address, caller.token) as client:
            body = {"email": f"{new_id().hex}@example.com", "password": "whatever"}
            responses.append(await client.post("/api/v1/users/me/email", json=body))
    assert 429 not in [response.status_code for response in responses[:3]]
    assert_limited(responses[3], "mail")


async def test_bad_tokens_count_by_address(strict):
    async with at(strict, new_address(), "not-a-token") as client:
        for _ in range(3):
            assert (await client.get("/api/v1/images")).status_code == 401
        assert_limited(await client.get("/api/v1/images"), "anonymous")


async def test_addresses_of_one_ipv6_site_are_one_and_a_mapped_one_is_ipv4(strict):
    site = new_address().removesuffix("::1")
    for address in (f"{site}::1", f"{site}::2", f"{site}:1:2:3:4"):
        async with at(strict, address) as client:
            assert (await client.get("/.well-known/jwks.json")).status_code == 200
    async with at(strict, f"{site}:ffff::9") as client:
        assert_limited(await client.get("/.well-known/jwks.json"), "anonymous")
    plain = f"203.0.113.{int(time.time()) % 250}"
    for address in (plain, f"::ffff:{plain}", plain):
        async with at(strict, address) as client:
            await client.get("/.well-known/jwks.json")
    async with at(strict, f"::ffff:{plain}") as client:
        assert_limited(await client.get("/.well-known/jwks.json"), "anonymous")


async def test_the_quota_is_one_for_all_processes(strict, open_api, sign_in):
    caller = await sign_in(process=strict)
    other = await open_api(**FEW)
    async with client_of(other, caller.token) as elsewhere:
        for client in (caller.client, elsewhere, caller.client):
            assert (await client.get("/api/v1/images")).status_code == 200
        assert_limited(await elsewhere.get("/api/v1/images"), "user")


async def test_without_redis_each_process_limits_by_itself(open_api, sign_in):
    process = await open_api(redis_url=NOWHERE, **FEW)
    caller = await sign_in(process=process)
    for _ in range(3):
        assert (await caller.client.get("/api/v1/images")).status_code == 200
    assert_limited(await caller.client.get("/api/v1/images"), "user")


async def test_the_key_set_is_counted_without_redis(open_api):
    """A fixed response is not to cost a round trip, and an outage of Redis is none for it."""
    process = await open_api(redis_url=NOWHERE, **FEW)
    before = REGISTRY.get_sample_value("rate_limit_local_total")
    async with at(process, new_address()) as client:
        for _ in range(3):
            assert (await client.get("/.well-known/jwks.json")).status_code == 200
        assert_limited(await client.get("/.well-known/jwks.json"), "anonymous")
    assert REGISTRY.get_sample_value("rate_limit_local_total") == before


async def test_a_revoked_token_is_401_also_beyond_the_quota(strict, sign_in, api_environment):
    caller = await sign_in(process=strict)
    for _ in range(4):
        await caller.client.get("/api/v1/images")
    async with redis.asyncio.from_url(api_environment["redis_url"]) as client:
        await client.set(revocation_key(caller.id), b"1", ex=TOKEN_TTL)
    response = await caller.client.get("/api/v1/images")
    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


async def test_probes_are_never_limited(strict):
    async with at(strict, new_address()) as client:
        for _ in range(10):
            response = await client.get("/health")
            assert response.status_code == 200
            assert "ratelimit" not in response.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing/here", 404),
        ("HEAD", "/nothing/here", 404),
        ("DELETE", "/api/v1/users", 405),
        ("POST", "/docs", 405),
        ("GET", "/docs", 200),
        ("HEAD", "/docs", 200),
        ("GET", "/docs/swagger-ui-bundle.js", 200),
        ("GET", "/docs/nothing", 404),
        ("GET", "/openapi.json", 200),
    ],
)
async def test_what_no_policy_covers_counts_by_address_too(strict, method, path, status):
    """Ten times `anonymous`, all of it together."""
    site = new_address().removesuffix("::1")
    for number in range(10 * 3):
        async with at(strict, f"{site}::{number:x}") as client:
            assert (await client.request(method, path)).status_code == status
    async with at(strict, f"{site}::ffff") as client:
        refused = await client.request(method, path)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert (await client.get("/openapi.json")).status_code == 429
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/.well-known/jwks.json")).status_code == 200
    async with at(strict, new_address()) as client:
        assert (await client.request(method, path)).status_code == status


async def test_the_documentation_is_read_from_disk_once(strict, monkeypatch):
    async with at(strict, new_address()) as client:
        first = await client.get("/docs/swagger-ui.css")
        monkeypatch.setattr("twelvefold.http.docs.files", None)
        assert (await client.get("/docs/swagger-ui.css")).content == first.content
