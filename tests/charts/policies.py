"""What NetworkPolicies and AuthorizationPolicies let through, worked out as the API documents say.

Not a simulator of a network plugin or a proxy: it answers one question at a time, whether a
connection or a request would be admitted, for the fields that the charts use, and refuses others.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Endpoint:
    """A pod by its labels and namespace, or an address outside the cluster."""

    name: str
    namespace: str = ""
    labels: Labels = field(default_factory=dict, hash=False)
    address: str | None = None


def selects(selector: Object, labels: Labels) -> bool:
    """Whether a LabelSelector matches; an empty one matches everything."""
    _known(selector, "matchLabels", "matchExpressions")
    for expression in selector.get("matchExpressions", []):
        if expression["operator"] != "In":
            raise NotImplementedError(expression["operator"])
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    wanted = selector.get("matchLabels", {})
    return all(labels.get(name) == value for name, value in wanted.items())


class Network:
    """Which ports a set of NetworkPolicies lets pods talk over, each side by itself."""

    def __init__(self, policies: Iterable[Object]) -> None:
        self._policies = list(policies)

    def leaves(
        self, source: Endpoint, target: Endpoint, ports: Iterable[int], protocol: str = "TCP"
    ) -> set[int]:
        """Ports of the target that the source's own policies let it call."""
        return self._open("Egress", source, target, ports, protocol)

    def enters(
        self, source: Endpoint, target: Endpoint, ports: Iterable[int], protocol: str = "TCP"
    ) -> set[int]:
        """Ports of the target on which its own policies let the source in."""
        return self._open("Ingress", target, source, ports, protocol)

    def _open(
        self, way: str, pod: Endpoint, peer: Endpoint, ports: Iterable[int], protocol: str
    ) -> set[int]:
        mine = [
            policy["spec"]
            for policy in self._policies
            if policy["metadata"]["namespace"] == pod.namespace
            and way in policy["spec"]["policyTypes"]
            and selects(policy["spec"]["podSelector"], pod.labels)
        ]
        if not mine:
            return set(ports)  # selected by no policy: everything is allowed
        peers = "from" if way == "Ingress" else "to"
        found: set[int] = set()
        for rule in (rule for spec in mine for rule in spec.get(way.lower(), [])):
            _known(rule, peers, "ports")
            # Without peers, or with an empty list of them, a rule is for the whole world.
            listed = rule.get(peers) or []
            if listed and not any(_peer(one, pod, peer) for one in listed):
                continue
            named = {one["port"] for one in rule.get("ports", []) if one["protocol"] == protocol}
            found |= set(ports) if not rule.get("ports") else named & set(ports)
        return found


def _peer(one: Object, policy_of: Endpoint, peer: Endpoint) -> bool:
    _known(one, "podSelector", "namespaceSelector", "ipBlock")
    if "ipBlock" in one:
        if peer.address is None:
            return False  # pods have addresses of the cluster, which no block of addresses holds
        address = ipaddress.ip_address(peer.address)
        block = one["ipBlock"]
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(net) for net in block.get("except", [])
        )
    if peer.address is not None:
        return False
    if "namespaceSelector" in one:
        if not selects(one["namespaceSelector"], {"kubernetes.io/metadata.name": peer.namespace}):
            return False
    elif peer.namespace != policy_of.namespace:
        return False
    return selects(one.get("podSelector", {}), peer.labels)


@dataclass(frozen=True)
class Request:
    """A request as a sidecar sees it. `issuer` and `audience` are of a token that was verified."""

    principal: str
    port: int
    method: str
    path: str
    issuer: str | None = None
    audience: str | None = None


def authorized(
    policies: Iterable[Object], namespace: str, labels: Labels, request: Request
) -> bool:
    """Whether the workload with these labels would answer. Only ALLOW policies are known."""
    mine = [
        policy.get("spec") or {}
        for policy in policies
        if policy["metadata"]["namespace"] == namespace
        and selects((policy.get("spec") or {}).get("selector", {}), labels)
    ]
    for spec in mine:
        if spec.get("action", "ALLOW") != "ALLOW":
            raise NotImplementedError(spec["action"])
    if not mine:
        return True  # no policy: all sources
    return any(_admitted(rule, request) for spec in mine for rule in spec.get("rules", []))


def _admitted(rule: Object, request: Request) -> bool:
    _known(rule, "from", "to", "when")
    from_ = rule.get("from", [])
    to = rule.get("to", [])
    return (
        (not from_ or any(_source(one["source"], request) for one in from_))
        and (not to or any(_operation(one["operation"], request) for one in to))
        and all(_condition(one, request) for one in rule.get("when", []))
    )


def _source(source: Object, request: Request) -> bool:
    _known(source, "principals", "requestPrincipals")
    subject = f"{request.issuer}/somebody" if request.issuer else None
    return _among(source.get("principals"), request.principal) and _among(
        source.get("requestPrincipals"), subject
    )


def _operation(operation: Object, request: Request) -> bool:
    _known(operation, "ports", "methods", "paths")
    return (
        _among(operation.get("ports"), str(request.port))
        and _among(operation.get("methods"), request.method)
        and _among(operation.get("paths"), request.path)
    )


def _condition(condition: Object, request: Request) -> bool:
    if condition["key"] != "request.auth.audiences":
        raise NotImplementedError(condition["key"])
    return request.audience in condition["values"]


def _among(patterns: list[str] | None, value: str | None) -> bool:
    """Whether a value matches one of Istio's patterns: exact, `prefix*`, `*suffix` or `*`."""
    if patterns is None:
        return True
    if value is None:
        return False
    for pattern in patterns:
        fits = (
            value == pattern
            or (pattern.endswith("*") and value.startswith(pattern[:-1]))
            or (pattern.startswith("*") and value.endswith(pattern[1:]))
        )
        if fits:
            return True
    return False


def _known(found: Object, *names: str) -> None:
    if unknown := set(found) - set(names):
        raise NotImplementedError(f"{unknown} in {found}")
