"""A second release beside the first: reached by header through both hops, by weight, removed."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from tests.cluster.cluster import objects, until
from tests.cluster.deployment import NAMESPACE, Deployment
from tests.suite import ROUTED

BOTH = ("users", "api")  # the hops of the request that `register` makes


@pytest.fixture(scope="module")
def canaries(deployment: Deployment) -> Iterator[Deployment]:
    """Second releases of api and users without any weight."""
    for service in BOTH:
        # A quota that a test can see shrinking.
        quota = "config.RATE_LIMIT_ANONYMOUS=60" if service == "api" else "config.LOG_LEVEL=INFO"
        deployment.service(service, "--set-string", quota, release=f"{service}-canary")
        deployment.route(service, "--set", "canary.enabled=true,canary.weight=0")
    yield deployment
    for service in BOTH:
        deployment.route(service)
        deployment.uninstall(f"{service}-canary")


def register(client: httpx.Client, **headers: str) -> str:
    """One request that both services see; returns its id."""
    request_id = f"seen-{uuid4().hex}"
    response = client.post(
        "/api/v1/users",
        json={
            "email": f"{uuid4().hex}@example.com",
            "name": "Ada",
            "password": "correct horse battery staple",
        },
        headers={"X-Request-ID": request_id, **headers},
    )
    assert response.status_code == 201, response.text
    return request_id


def seen(deployment: Deployment, service: str, version: str, request_ids: list[str]) -> int:
    """How many of these registrations a subset's pods have served."""
    # The worker's calls for the welcome mail carry the same ids, on other routes.
    lines = [line for line in deployment.logs(service, version).splitlines() if "/v1/users" in line]
    return sum(any(one in line for line in lines) for one in request_ids)


def test_the_header_reaches_v2_of_api_and_of_users(
    canaries: Deployment, client: httpx.Client
) -> None:
    def reached() -> bool:
        one = [register(client, canary="true")]
        return all(seen(canaries, service, "v2", one) == 1 for service in BOTH)

    until(reached, "canary: true leads to v2 twice", timeout=30)
    requests = [register(client, canary="true") for _ in range(10)]
    for service in BOTH:
        assert seen(canaries, service, "v2", requests) == 10
        assert seen(canaries, service, "v1", requests) == 0


def test_a_forged_address_does_not_become_the_clients(
    canaries: Deployment, client: httpx.Client
) -> None:
    """Limits count by the address that the gateway saw, not by the one that a client writes."""
    left = [
        client.get(
            "/.well-known/jwks.json",
            headers={"canary": "true", "X-Forwarded-For": f"203.0.113.{number}"},
        ).headers["ratelimit"]
        for number in range(4)
    ]
    # Of one address the quota shrinks; four would each have it whole but for one.
    assert len(set(left)) == len(left), left


def test_without_the_header_nobody_is_led_to_v2(canaries: Deployment, client: httpx.Client) -> None:
    requests = [register(client) for _ in range(10)]
    for service in BOTH:
        assert (
            seen(canaries, service, "v1", requests),
            seen(canaries, service, "v2", requests),
        ) == (
            10,
            0,
        )


def test_the_experiment_halves_requests(canaries: Deployment, client: httpx.Client) -> None:
    requests = [register(client, experiment="variant-b") for _ in range(40)]
    # 40 tosses of a fair coin fall outside 8 to 32 once in 25,000 times.
    for service in BOTH:
        v1, v2 = (seen(canaries, service, version, requests) for version in ("v1", "v2"))
        assert v1 + v2 == 40
        assert 8 <= v2 <= 32, (service, v1, v2)


def test_the_second_release_shares_no_object_with_the_first(canaries: Deployment) -> None:
    names = {one["metadata"]["name"] for one in objects("services", NAMESPACE)}
    assert names == set(ROUTED)
    for service in BOTH:
        owned = [
            one
            for one in objects("deployments,configmaps,serviceaccounts,networkpolicies", NAMESPACE)
            if one["metadata"].get("annotations", {}).get("meta.helm.sh/release-name")
            == f"{service}-canary"
        ]
        assert {one["kind"] for one in owned} == {"Deployment", "ConfigMap"}
        assert {one["metadata"]["name"] for one in owned} == {f"{service}-canary"}


def test_all_weight_goes_to_v2_and_back_without_a_failed_request(
    canaries: Deployment, client: httpx.Client
) -> None:
    canaries.route("api", "--set", "canary.enabled=true,canary.weight=100")
    until(lambda: seen(canaries, "api", "v2", [register(client)]) == 1, "v2 has the traffic", 30)
    requests = [register(client) for _ in range(10)]
    assert seen(canaries, "api", "v2", requests) == 10

    canaries.route("api", "--set", "canary.enabled=true,canary.weight=0")
    until(lambda: seen(canaries, "api", "v1", [register(client)]) == 1, "v1 has the traffic", 30)
