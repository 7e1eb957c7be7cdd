"""NetworkPolicies as this cluster enforces them: the table of edges, and everything not in it.

Each identity has a pod that tries every port of every pod: what the services declare connects, all
else times out. Skipped where nothing enforces NetworkPolicies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import yaml
from tests.charts.edges import INSTANCE, NAME, edges
from tests.cluster.cluster import (
    GATEWAY_NAMESPACE,
    Object,
    apply,
    kubectl,
    objects,
    run,
    until,
)
from tests.cluster.deployment import BACKING, NAMESPACE, Deployment
from tests.cluster.network_probes import (
    OUTSIDE,
    SERVER_PORT,
    Attempt,
    Identity,
    NetworkProbes,
    is_enforced,
)
from tests.suite import SERVICES

SERVERS = ("postgres", "redis", "s3", "mail")
EDGES = edges("dev")
PORTS = sorted({22, SERVER_PORT, *(port for _, _, port in EDGES)})


def _identity(role: str, namespace: str, instance: str = "") -> Identity:
    labels = {NAME: role, INSTANCE: instance} if instance else {NAME: role}
    return Identity(role, namespace, labels)


_GATEWAY = Identity("gateway", GATEWAY_NAMESPACE, {"istio": "ingressgateway"})
_MONITORING = Identity("monitoring", "monitoring", {NAME: "prometheus"})
_OURS = (
    *(_identity(service, NAMESPACE, service) for service in SERVICES),
    *(_identity(f"{service}-migrate", NAMESPACE, service) for service in SERVICES),
    *(_identity(f"{service}-test", NAMESPACE, service) for service in SERVICES),
    *(_identity(server, BACKING, "backing") for server in SERVERS),
    _identity("stranger", NAMESPACE),
)
# Labelled like those who may, elsewhere.
_IMPOSTORS = tuple(
    Identity(f"false {one.role}", OUTSIDE, one.labels)
    for one in (*_OURS[: len(SERVICES)], _GATEWAY, _MONITORING)
)
SOURCES = (*_OURS, _GATEWAY, _MONITORING, *_IMPOSTORS)
# Servers that no policy of the suite names: one beside the services, the others elsewhere.
_BYSTANDER = _identity("bystander", NAMESPACE)
_ELSEWHERE = tuple(_identity(f"server-{letter}", OUTSIDE) for letter in "abc")
_LOCATED, _LABELLED, _UNLISTED = _ELSEWHERE
_PASSED = ("connected", "refused")


def _hook_policies() -> list[Object]:
    """The policies of migrations and tests, which Helm makes for as long as these run."""
    found: list[Object] = []
    for service in SERVICES:
        hooks = yaml.safe_load_all(run("helm", "get", "hooks", service, "--namespace", NAMESPACE))
        found += [one for one in hooks if one and one["kind"] == "NetworkPolicy"]
    return found


@pytest.fixture(scope="module")
def probes(deployment: Deployment) -> Iterator[NetworkProbes]:
    made = NetworkProbes(deployment, SOURCES, (_BYSTANDER, *_ELSEWHERE))
    policies = _hook_policies()
    try:
        if not is_enforced(made, _IMPOSTORS[0], _UNLISTED):
            pytest.skip("nothing enforces NetworkPolicies on this cluster")
        apply(policies)
        yield made
    finally:
        made.remove()
        for one in policies:
            name = one["metadata"]["name"]
            kubectl("-n", NAMESPACE, "delete", "networkpolicy", name, "--ignore-not-found")


@pytest.fixture(scope="module")
def pods(deployment: Deployment, probes: NetworkProbes) -> dict[tuple[str, str], str]:
    """The address of every pod that is tried, by its role and namespace."""
    found = {
        (service, NAMESPACE): deployment.pods(service, "v1")[0]["status"]["podIP"]
        for service in SERVICES
    }
    foreign = (
        *((server, BACKING, f"{NAME}={server},{INSTANCE}=backing") for server in SERVERS),
        ("istiod", GATEWAY_NAMESPACE, "app=istiod"),
        ("dns", "kube-system", "k8s-app=kube-dns"),
        ("gateway", GATEWAY_NAMESPACE, "istio=ingressgateway"),
    )
    for role, namespace, selector in foreign:
        for pod in objects("pods", namespace, f"{selector},!twelvefold.dev/probe"):
            if pod["status"].get("podIP") and not pod["spec"].get("hostNetwork"):
                found[role, namespace] = pod["status"]["podIP"]
    for server in (_BYSTANDER, *_ELSEWHERE):
        found[server.role, server.namespace] = probes.address(server)
    return found


def _attempts(source: Identity, pods: dict[tuple[str, str], str]) -> list[Attempt]:
    """Everything that a source could try, but for what is between others than the suite."""
    return [
        Attempt(role, address, port, protocol)
        for (role, namespace), address in pods.items()
        if {source.namespace, namespace} & {NAMESPACE, BACKING}
        for port, protocol in (*((port, "TCP") for port in PORTS), (53, "UDP"))
        if protocol == "TCP" or role == "dns"
    ]


@pytest.mark.parametrize("source", SOURCES, ids=lambda one: one.role)
def test_what_is_declared_connects_and_everything_else_times_out(
    source: Identity,
    probes: NetworkProbes,
    pods: dict[tuple[str, str], str],
    note: Callable[[str], None],
) -> None:
    attempts = _attempts(source, pods)
    wanted = {one for one in attempts if (source.role, one.role, one.port) in EDGES}
    outcomes: dict[Attempt, str] = {}

    def all_pass() -> bool:
        """Ask again for what a busy machine did not connect in time; a denial stays one."""
        missing = [one for one in wanted if outcomes.get(one) not in _PASSED]
        outcomes.update(probes.attempt(source, missing) if missing else {})
        return not missing or all(outcomes[one] in _PASSED for one in missing)

    outcomes.update(probes.attempt(source, attempts))
    until(all_pass, f"{source.role} reaches all that it declares", timeout=30)
    others = {one: outcome for one, outcome in outcomes.items() if one not in wanted}

    assert len(attempts) > len(PORTS)
    assert {f"{one}: {what}" for one, what in others.items() if what != "timed out"} == set()
    reached = sorted(f"{one.role}:{one.port}/{one.protocol}" for one in wanted)
    listed = f": {', '.join(reached)}" if reached else ""
    note(f"network {source.role:<16} {len(others):>3} time out, {len(wanted):>2} connect{listed}")


def test_a_peer_at_a_network_and_at_pods_is_reached_at_both_and_nowhere_else(
    deployment: Deployment,
    probes: NetworkProbes,
    pods: dict[tuple[str, str], str],
    note: Callable[[str], None],
) -> None:
    """One pod is named by its address, another by its labels, the third not at all."""
    host = pods[_LOCATED.role, OUTSIDE]
    pods_there = {"namespace": OUTSIDE, "labels": dict(_LABELLED.labels)}
    peer = {"host": host, "port": SERVER_PORT, "locations": [f"{host}/32", pods_there]}
    site = ("--set-json", f"global.peers.cloudIdentity={json.dumps(peer)}")
    (api,) = [one for one in SOURCES if one.role == "api"]
    attempts = {
        one.role: Attempt(one.role, pods[one.role, OUTSIDE], SERVER_PORT) for one in _ELSEWHERE
    }

    def seen() -> dict[str, str]:
        outcomes = probes.attempt(api, list(attempts.values()))
        return {role: outcomes[attempt] for role, attempt in attempts.items()}

    expected = dict.fromkeys(attempts, "connected") | {_UNLISTED.role: "timed out"}
    try:
        deployment.service("api", *site)
        until(lambda: seen() == expected, f"api reaches {expected}", timeout=60)
        note(f"network api, with a peer at an address and at labels: {seen()}")
        deployment.release("mesh", "istio/mesh", *deployment.mesh_values, *site)
        deployment.route("api", *site)
        until(lambda: _fetched(host) == "200", "the mesh knows the address", timeout=60)
        outcome = _fetched(pods[_UNLISTED.role, OUTSIDE])
        note(f"mesh    api by its sidecar to that address: 200, to another: {outcome}")
        assert outcome != "200"
    finally:
        deployment.service("api")
        deployment.release("mesh", "istio/mesh", *deployment.mesh_values)
        deployment.route("api")
    until(lambda: set(seen().values()) == {"timed out"}, "the way is closed again", timeout=60)


def _fetched(address: str) -> str:
    """What a process of api receives from a server, through its sidecar."""
    url = f"http://{address}:{SERVER_PORT}/"
    script = (
        "import sys, urllib.request\n"
        "try: print(urllib.request.urlopen(sys.argv[1], timeout=3).status)\n"
        "except OSError as error: print(error)"
    )
    command = ("exec", "deploy/api", "-c", "api", "--", "python3", "-c", script, url)
    return kubectl("-n", NAMESPACE, *command).strip()
