"""Tokens at the edge of the mesh: what is refused before api sees it, what never is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from uuid import uuid4

import httpx
import jwt
import pytest
from tests.cluster.cluster import GATEWAY_NAMESPACE, Object, kubectl, until
from tests.cluster.deployment import NAMESPACE, Deployment

from twelvefold.contracts.accounts import Role
from twelvefold.security.keys import KeySet
from twelvefold.security.tokens import TokenIssuer

ISSUER, AUDIENCE = "twelvefold", "twelvefold-api"


@pytest.fixture(scope="module")
def keys(deployment: Deployment) -> KeySet:
    return KeySet.from_json(json.dumps(deployment.signing_keys()))


def token(keys: KeySet, *, issuer: str = ISSUER, audience: str = AUDIENCE, ttl: int = 600) -> str:
    issued = TokenIssuer(keys, issuer, audience, ttl=ttl)
    return issued.issue(uuid4(), Role.USER, "users:read jobs:read", uuid4())


def _without_signature(good: str) -> str:
    return good.rpartition(".")[0] + "."


def _unsigned(good: str) -> str:
    claims = jwt.decode(good, options={"verify_signature": False})
    return jwt.encode(claims, "", algorithm="none")


REFUSED: dict[str, Callable[[KeySet], str | None]] = {
    "no token": lambda _: None,
    "another audience": lambda keys: token(keys, audience="another-api"),
    "another issuer": lambda keys: token(keys, issuer="https://else.example.com"),
    "expired": lambda keys: token(keys, ttl=-3600),
    "another's key": lambda _: token(KeySet.generate()),
    "signature cut off": lambda keys: _without_signature(token(keys)),
    "algorithm none": lambda keys: _unsigned(token(keys)),
    "not a token": lambda _: "abc",
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_bad_token_is_401_as_a_problem_with_a_challenge(
    what: str, client: httpx.Client, keys: KeySet, note: Callable[[str], None]
) -> None:
    shown = REFUSED[what](keys)
    headers = {"Authorization": f"Bearer {shown}"} if shown else {}
    response = client.get("/api/v1/jobs", headers={**headers, "X-Request-ID": "asked.by-a-test"})

    note(f"token {what:<18} {response.status_code} {response.headers.get('www-authenticate')}")
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"].startswith('Bearer realm="twelvefold"')
    assert ("invalid_token" in response.headers["www-authenticate"]) == (shown is not None)
    problem = response.json()
    assert problem["type"] == "/problems/unauthenticated"
    assert (problem["status"], problem["instance"]) == (401, "/api/v1/jobs")
    assert problem["request_id"] == response.headers["x-request-id"] == "asked.by-a-test"


def test_a_token_in_the_query_does_not_count(client: httpx.Client, keys: KeySet) -> None:
    response = client.get("/api/v1/jobs", params={"access_token": token(keys)})

    assert response.status_code == 401


def test_a_good_token_opens_what_it_may(client: httpx.Client, keys: KeySet) -> None:
    headers = {"Authorization": f"Bearer {token(keys)}"}
    response = client.get("/api/v1/jobs", headers=headers)

    assert (response.status_code, response.json()["items"]) == (200, [])


def test_the_mesh_has_the_keys_that_users_publishes(client: httpx.Client, keys: KeySet) -> None:
    """What `--set-file tokens.jwks` passed on is what tokens are signed with."""
    (rule,) = json.loads(
        kubectl("-n", NAMESPACE, "get", "requestauthentication", "api-tokens", "-o", "json")
    )["spec"]["jwtRules"]
    published = client.get("/.well-known/jwks.json").json()

    known = {key["kid"] for key in json.loads(rule["jwks"])["keys"]}
    assert {key["kid"] for key in published["keys"]} <= known


def test_tokens_count_while_users_is_away_and_the_control_plane_starts_anew(
    client: httpx.Client, deployment: Deployment, keys: KeySet, note: Callable[[str], None]
) -> None:
    """The trap that .github/decisions/0010 avoids: a control plane that cannot fetch the keys."""
    good = {"Authorization": f"Bearer {token(keys)}"}
    assert client.get("/api/v1/jobs", headers=good).status_code == 200
    count = str(len(deployment.pods("users")))
    kubectl("-n", NAMESPACE, "scale", "deployment/users", "--replicas=0")
    try:
        until(lambda: not deployment.pods("users"), "users is away")
        kubectl("-n", GATEWAY_NAMESPACE, "rollout", "restart", "deployment/istiod")
        kubectl(
            *("-n", GATEWAY_NAMESPACE, "rollout", "status", "deployment/istiod"),
            "--timeout=120s",
            timeout=130,
        )
        # A pod whose proxy has all of its configuration from the new control plane.
        (pod,) = deployment.pods("api")
        kubectl("-n", NAMESPACE, "delete", "pod", pod["metadata"]["name"], "--wait=false")
        until(lambda: _served_by_another(client, deployment, pod), "another api pod serves", 120)
        response = client.get("/api/v1/jobs", headers=good)
        bad = client.get(
            "/api/v1/jobs", headers={"Authorization": f"Bearer {token(KeySet.generate())}"}
        )
    finally:
        kubectl("-n", NAMESPACE, "scale", "deployment/users", f"--replicas={count}")
        kubectl(
            *("-n", NAMESPACE, "rollout", "status", "deployment/users", "--timeout=120s"),
            timeout=130,
        )
    note(f"keys  users away, new istiod: good token {response.status_code}, bad {bad.status_code}")
    # The mesh passes it; api, which has no keys yet, says that it cannot tell. Never "invalid".
    assert response.status_code == 503
    assert response.json()["type"] == "/problems/dependency-unavailable"
    assert (bad.status_code, bad.json()["detail"]) == (401, "The access token is invalid.")


def _served_by_another(client: httpx.Client, deployment: Deployment, gone: Object) -> bool:
    names = {pod["metadata"]["name"] for pod in deployment.pods("api")}
    asked = f"who.{time.monotonic_ns()}"
    if gone["metadata"]["name"] in names or not names:
        return False
    if client.get("/health", headers={"X-Request-ID": asked}).status_code != 200:
        return False
    return asked in deployment.logs("api", "v1")
