"""The token endpoints, the keys, and what a bearer token must be."""

import time

import jwt
import pytest

from twelvefold.contracts.accounts import Role
from twelvefold.identifiers import new_id
from twelvefold.security.keys import KeySet
from twelvefold.security.revocation import RevocationList
from twelvefold.security.tokens import TokenIssuer

from .conftest import client_of

TOKEN = "/api/v1/auth/token"
PASSWORD = "correct horse battery staple"


@pytest.fixture
async def address(anonymous) -> str:
    address = f"{new_id().hex}@example.com"
    body = {"email": address, "name": "Ada", "password": PASSWORD}
    assert (await anonymous.post("/api/v1/users", json=body)).status_code == 201
    return address


async def test_a_password_buys_tokens_that_open_the_api(anonymous, address):
    response = await anonymous.post(
        TOKEN, data={"grant_type": "password", "username": address, "password": PASSWORD}
    )
    assert response.status_code == 200
    assert (response.headers["cache-control"], response.headers["pragma"]) == (
        "no-store",
        "no-cache",
    )
    pair = response.json()
    assert (pair["token_type"], pair["expires_in"]) == ("Bearer", 600)
    headers = {"authorization": f"bearer {pair['access_token']}"}
    assert (await anonymous.get("/api/v1/users/me", headers=headers)).status_code == 200
    refreshed = await anonymous.post(
        TOKEN, data={"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    )
    assert refreshed.status_code == 200


async def test_a_form_may_hold_utf_8_as_it_is(anonymous):
    address, password = f"{new_id().hex}@example.com", "Grüße aus Köln, 你好"
    body = {"email": address, "name": "Ada", "password": password}
    assert (await anonymous.post("/api/v1/users", json=body)).status_code == 201
    form = f"grant_type=password&username={address}&password={password.replace(' ', '+')}"
    response = await anonymous.post(
        TOKEN,
        content=form.encode(),
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "password"}, "invalid_request"),
        ({"grant_type": "password", "username": "ada"}, "invalid_request"),
        ({"grant_type": "password", "username": "a\0", "password": "b"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": ["password", "password"]}, "invalid_request"),
        ({f"field{number}": "x" for number in range(30)}, "invalid_request"),
        ({"grant_type": "password", "username": "x", "password": "wrong"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "unknown"}, "invalid_grant"),
    ],
)
async def test_a_refusal_speaks_oauth(anonymous, form, error):
    response = await anonymous.post(TOKEN, data=form)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.json()["error"] == error


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b'{"grant_type": "password"}', "application/json"),
        (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x"),
        (b"grant_type=%ff%fe", "application/x-www-form-urlencoded"),
        (b"grant_type=\xff", "application/x-www-form-urlencoded"),
        (b"", ""),
    ],
)
async def test_a_body_that_is_no_form_is_an_invalid_request(anonymous, content, content_type):
    response = await anonymous.post(TOKEN, content=content, headers={"content-type": content_type})
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


async def test_a_large_form_is_413(anonymous):
    response = await anonymous.post(TOKEN, data={"grant_type": "x" * 20_000})
    assert response.status_code == 413


async def test_revoking_is_200_whatever_the_token(anonymous):
    response = await anonymous.post("/api/v1/auth/revoke", data={"token": "unknown"})
    assert (response.status_code, response.content) == (200, b"")
    missing = await anonymous.post("/api/v1/auth/revoke", data={})
    assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")


async def test_the_keys_and_the_metadata_are_public_and_cacheable(anonymous, users):
    keys = await anonymous.get("/.well-known/jwks.json")
    assert keys.json() == users.keys.public_jwks()
    assert all("d" not in key for key in keys.json()["keys"])
    assert keys.headers["cache-control"] == "public, max-age=300"
    metadata = (await anonymous.get("/.well-known/oauth-authorization-server")).json()
    assert metadata["token_endpoint"] == "http://api.test/api/v1/auth/token"
    assert metadata["jwks_uri"] == "http://api.test/.well-known/jwks.json"


async def test_a_requested_email_has_the_same_response_with_and_without_an_account(
    anonymous, users
):
    for path in ("email-verifications", "password-resets"):
        response = await anonymous.post(
            f"/api/v1/auth/{path}", json={"email": f"{new_id().hex}@example.com"}
        )
        assert (response.status_code, response.content) == (202, b"")
        bad = await anonymous.post(f"/api/v1/auth/{path}", json={"email": "nobody"})
        assert bad.status_code == 422


async def test_a_mailed_token_confirms_once_it_is_good(anonymous):
    for path, extra in (("email-verifications", {}), ("password-resets", {"password": PASSWORD})):
        for token, status in (("good-token", 204), ("bad-token", 400)):
            response = await anonymous.post(
                f"/api/v1/auth/{path}/confirm", json={"token": token, **extra}
            )
            assert response.status_code == status
            assert token not in response.text


async def test_a_change_of_the_address_is_undone_by_the_mailed_token(anonymous):
    for token, status in (("good-token", 204), ("bad-token", 400)):
        response = await anonymous.post("/api/v1/auth/email-changes/undo", json={"token": token})
        assert response.status_code == status
        assert response.headers["ratelimit-policy"].startswith('"credentials";')


@pytest.mark.parametrize("header", [None, "", "Basic abc", "Bearer", "Bearer ", "abc"])
async def test_without_a_bearer_token_it_is_401_with_a_challenge(anonymous, header):
    headers = {} if header is None else {"authorization": header}
    response = await anonymous.get("/api/v1/users/me", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="twelvefold"'
    assert response.headers["content-type"] == "application/problem+json"


async def test_an_invalid_token_is_401(api, users):
    stranger = TokenIssuer(KeySet.generate(), "twelvefold", "twelvefold-api")
    wrong_audience = TokenIssuer(users.keys, "twelvefold", "another-api")
    expired = TokenIssuer(users.keys, "twelvefold", "twelvefold-api", ttl=-60)
    unsigned = jwt.encode({"sub": str(new_id()), "exp": time.time() + 60}, "", "none")
    tokens = [
        issuer.issue(new_id(), Role.USER, "users:read", new_id())
        for issuer in (stranger, wrong_audience, expired)
    ]
    for token in (*tokens, unsigned, "a.b.c", "x" * 5000):
        async with client_of(api, token) as client:
            response = await client.get("/api/v1/users/me")
        assert response.status_code == 401
        assert 'error="invalid_token"' in response.headers["www-authenticate"]
        assert token not in response.text


async def test_a_revoked_account_is_out_at_once(api, sign_in):
    caller = await sign_in()
    assert (await caller.client.get("/api/v1/jobs")).status_code == 200
    await RevocationList(api.backing.multiplexed_redis).revoke(caller.id)
    response = await caller.client.get("/api/v1/jobs")
    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


async def test_metadata_that_repeats_the_host_header_is_not_cached(open_api, anonymous) -> None:
    path, elsewhere = "/.well-known/oauth-authorization-server", {"Host": "evil.example"}
    echoed = await anonymous.get(path, headers=elsewhere)
    assert echoed.headers["cache-control"] == "no-store"

    known = await open_api(public_url="https://api.example.com")
    async with client_of(known) as client:
        response = await client.get(path, headers=elsewhere)
    assert response.headers["cache-control"] == "public, max-age=300"
    assert response.json()["token_endpoint"] == "https://api.example.com/api/v1/auth/token"
    assert "evil.example" not in response.text
