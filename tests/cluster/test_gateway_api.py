"""Clients by HTTPRoutes of the Gateway API: the story, headers, weights, a rollout by weight.

The suite is switched to the Gateway API for these tests and back. CLUSTER_TEST_MESH=none installs
it without a mesh from the start. Skipped, with the reason, where the cluster has no Gateway API.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator

import httpx
import pytest
from tests.cluster.clients import ClientPool
from tests.cluster.cluster import gateway_address, missing, objects, until
from tests.cluster.deployment import HOST, NAMESPACE, Deployment
from tests.cluster.gateway_api import accepted, missing_gateway_api
from tests.cluster.load import Load
from tests.cluster.rollout_run import Rollouts
from tests.cluster.test_story import (
    test_a_newcomer_registers_is_welcomed_and_sees_a_thumbnail as tell_the_story,
)

REQUESTS = 400  # for each weight
# A quota by which a response shows which release gave it.
QUOTA = 77777


@pytest.fixture(scope="module", autouse=True)
def routes(request: pytest.FixtureRequest) -> Iterator[None]:
    """HTTPRoutes instead of the mesh's own gateway, and a canary of api without any weight."""
    if reason := missing() or missing_gateway_api():
        pytest.skip(reason)
    deployment: Deployment = request.getfixturevalue("deployment")
    deployment.lead_by_gateway_api()
    quota = f"config.RATE_LIMIT_ANONYMOUS={QUOTA}"
    deployment.service("api", "--set-string", quota, release="api-canary")
    weigh(deployment, 0)
    yield
    deployment.route("api")
    deployment.uninstall("api-canary")
    deployment.lead_by_own_gateway()


def weigh(deployment: Deployment, weight: int) -> None:
    deployment.route("api", "--set", f"canary.enabled=true,canary.weight={weight}")


def served_by(client: httpx.Client, **headers: str) -> str:
    """The release that answers a request."""
    response = client.get("/.well-known/jwks.json", headers=headers)
    assert response.status_code == 200, response.text
    return "v2" if str(QUOTA) in response.headers["ratelimit-policy"] else "v1"


def shares(client: httpx.Client, **headers: str) -> Counter[str]:
    return Counter(served_by(client, **headers) for _ in range(REQUESTS))


def test_the_gateway_accepts_the_routes_and_no_route_of_the_mesh_is_left(
    client: httpx.Client, deployment: Deployment
) -> None:
    def attached() -> bool:
        found = objects("httproutes.gateway.networking.k8s.io", NAMESPACE)
        names = {one["metadata"]["name"] for one in found}
        return names == {"api-public", "api-redirect"} and all(map(accepted, found))

    until(attached, "the routes are accepted", timeout=30)
    if deployment.mesh == "sidecar":
        services = objects("virtualservices.networking.istio.io", NAMESPACE)
        assert {one["metadata"]["name"] for one in services} == {"api", "users"}
    assert client.get("/health").status_code == 200


def test_a_newcomers_story_by_an_httproute(
    client: httpx.Client, deployment: Deployment, note: Callable[[str], None]
) -> None:
    note(f"httproute story, mesh {deployment.mesh}:")
    tell_the_story(client, deployment, note)


def test_what_is_private_is_not_there_by_an_httproute_either(client: httpx.Client) -> None:
    for path in ("/internal/v1/users", "/metrics", "/readyz", "/livez", "/info"):
        response = client.get(path)
        assert response.status_code == 404, path
        # Gateways other than the mesh's own answer in their own words.
        assert "twelvefold" not in response.text


def test_plain_http_is_redirected(deployment: Deployment) -> None:
    address, port = gateway_address(80)
    with httpx.Client(base_url=f"http://{address}:{port}", headers={"Host": HOST}) as plain:
        until(lambda: plain.get("/health").status_code == 301, "plain HTTP is redirected")
        response = plain.get("/health")

    assert response.headers["location"] == f"https://{HOST}/health"


def test_the_header_leads_to_the_canary_and_no_other_request_does(
    client: httpx.Client, note: Callable[[str], None]
) -> None:
    until(lambda: served_by(client, canary="true") == "v2", "canary: true leads to v2", 30)
    by_header, plain = shares(client, canary="true"), shares(client)
    note(f"httproute canary: true    {dict(by_header)}; without it {dict(plain)}")

    assert by_header == {"v2": REQUESTS}
    assert plain == {"v1": REQUESTS}


def test_the_experiment_halves_requests(client: httpx.Client, note: Callable[[str], None]) -> None:
    found = shares(client, experiment="variant-b")
    note(f"httproute experiment      {dict(found)}")

    # 400 tosses of a fair coin fall outside 140 to 260 once in a billion times.
    assert 140 <= found["v2"] <= 260


@pytest.mark.parametrize("weight", [10, 25, 50, 100])
def test_a_weight_is_the_share_of_the_requests(
    weight: int, client: httpx.Client, deployment: Deployment, note: Callable[[str], None]
) -> None:
    weigh(deployment, weight)
    mean, deviation = REQUESTS * weight / 100, math.sqrt(REQUESTS * weight * (100 - weight)) / 100
    bounds = (mean - 6 * deviation, mean + 6 * deviation)

    found: Counter[str] = Counter()

    def is_weighed() -> bool:
        found.clear()
        found.update(shares(client))
        return bounds[0] <= found["v2"] <= bounds[1]

    until(is_weighed, f"{weight} % go to v2", timeout=60)
    note(f"httproute weight {weight:>3}      {found['v2'] / REQUESTS:.1%} of {REQUESTS} to v2")
    weigh(deployment, 0)
    until(lambda: served_by(client) == "v1", "v1 has the traffic again", timeout=30)


def test_a_rollout_weighs_by_the_httproute_and_no_request_fails(
    deployment: Deployment, clients: ClientPool, note: Callable[[str], None]
) -> None:
    deployment.route("api")
    deployment.uninstall("api-canary")
    options = ("--canary", "25", "--pause", "5s", "--min-requests", "50")
    with Load(clients, rate=30) as load:
        load.run(seconds=2)
        run = Rollouts(deployment).start("api", "good", "routed", *options).wait()
        load.run(seconds=2)
    note(f"httproute rollout         {run.seconds:.0f} s; {load.result}")

    assert run.code == 0, run.transcript()
    assert Rollouts(deployment).serving("api") == {"routed"}
    assert load.result.failures == [], load.result.summary()
    deployment.service("api", "--reset-values")


def test_a_rollout_of_what_no_route_divides_is_refused(deployment: Deployment) -> None:
    if deployment.mesh != "none":
        pytest.skip("the mesh divides calls between services")
    run = Rollouts(deployment).start("users", "good", "alone", "--min-requests", "0").wait()

    assert run.code == 2, run.transcript()
    assert "cannot be divided" in run.why
