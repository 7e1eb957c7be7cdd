"""The mesh's own table: who may call whom, by requests of real pods with real service accounts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from tests.cluster.cluster import until
from tests.cluster.deployment import Deployment
from tests.cluster.probes import Answer, Probes, Question, name_of
from tests.suite import CALLS, INTERNAL, PUBLIC, SERVICES

ACCOUNTS = (*SERVICES, "default")
PORTS: dict[str, str] = {
    **{f"{name}:8000": f"http://{name}:8000/health" for name in PUBLIC},
    **{f"{name}:8001": f"http://{name}:8001/internal/v1/nothing" for name in INTERNAL},
    "users:8001": "http://users:8001/internal/v1/jwks",
}
EDGES = {(caller, f"{callee}:8001") for caller, callee in CALLS}
QUESTIONS: list[Question] = [(port, "GET", url, {}) for port, url in PORTS.items()]


@pytest.fixture(scope="module")
def probes(deployment: Deployment) -> Iterator[Probes]:
    made = Probes(deployment, ACCOUNTS)
    yield made
    made.remove()


def verdict(response: Answer) -> str:
    """`admitted` where the service itself responded, with any status."""
    if response.status == 0:
        return "cut off"
    problem = json.loads(response.body) if response.media_type == "application/problem+json" else {}
    if response.status == 403 and problem.get("type") == "/problems/forbidden":
        return "denied"
    return "admitted" if response.status < 500 else f"{response.status} {response.body}"


@pytest.mark.parametrize("account", ACCOUNTS)
def test_each_edge_is_admitted_and_every_other_is_denied_as_a_problem(
    account: str, probes: Probes, note: Callable[[str], None]
) -> None:
    expected = {port: "admitted" if (account, port) in EDGES else "denied" for port in PORTS}

    def seen() -> dict[str, str]:
        responses = probes.ask(name_of(account), QUESTIONS)
        return {port: verdict(response) for port, response in responses.items()}

    # A policy takes a second or two to reach every proxy.
    until(lambda: seen() == expected, f"{account}: {expected}, but {seen()}", timeout=20)
    for port, found in seen().items():
        note(f"mesh  {account:<8} -> {port:<11} {found}")


def test_plaintext_is_refused(probes: Probes, note: Callable[[str], None]) -> None:
    responses = probes.ask(name_of("default", mesh=False), QUESTIONS)

    for port, response in responses.items():
        note(f"mesh  no mTLS  -> {port:<11} {verdict(response)}")
    assert {verdict(response) for response in responses.values()} == {"cut off"}


def test_a_caller_that_the_mesh_admits_still_has_to_show_its_secret(probes: Probes) -> None:
    url = "http://users:8001/internal/v1/users/0191e0c4-0000-7000-8000-000000000000"
    wrong = {"X-Caller": "api", "X-Caller-Secret": "of-somebody-else"}
    response = probes.ask(name_of("api"), [("user", "GET", url, wrong)])["user"]

    assert (response.status, response.media_type) == (401, "application/problem+json")
    assert json.loads(response.body)["type"] == "/problems/caller-unknown"


def test_a_pod_reaches_no_host_that_nobody_named(probes: Probes) -> None:
    """REGISTRY_ONLY: the sidecar knows the suite's servers, and not the cluster's API."""
    requests: list[Question] = [("else", "GET", "http://kubernetes.default.svc:443/", {})]
    response = probes.ask(name_of("default"), requests)["else"]

    assert verdict(response) != "admitted"
