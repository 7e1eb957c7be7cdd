"""The evaluators judge as Kubernetes' and Istio's reference documents say."""

from __future__ import annotations

from typing import Any

import pytest
from tests.charts.policies import Endpoint, Network, Request, authorized

A = Endpoint("a", "own", {"app": "a"})
B = Endpoint("b", "own", {"app": "b"})
ELSEWHERE = Endpoint("b", "theirs", {"app": "b"})
OUTSIDE = Endpoint("outside", address="10.1.2.3")


def policy(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "own"},
        "spec": {"podSelector": {"matchLabels": {"app": "a"}}, "policyTypes": ["Egress"], **spec},
    }


def leaves(target: Endpoint, *policies: dict[str, Any]) -> set[int]:
    return Network(policies).leaves(A, target, (80, 443))


def to(*peers: Any, ports: tuple[int, ...] = (443,)) -> dict[str, Any]:
    return {"to": list(peers), "ports": [{"port": port, "protocol": "TCP"} for port in ports]}


POD_B = {"podSelector": {"matchLabels": {"app": "b"}}}


def test_a_pod_that_no_policy_selects_may_do_everything() -> None:
    assert leaves(B) == {80, 443}
    assert leaves(B, policy(podSelector={"matchLabels": {"app": "b"}})) == {80, 443}


def test_a_policy_without_rules_denies() -> None:
    assert leaves(B, policy()) == set()
    assert leaves(B, policy(podSelector={})) == set()


def test_policies_add_up() -> None:
    assert leaves(B, policy(), policy(egress=[to(POD_B)])) == {443}


@pytest.mark.parametrize("rule", [{}, {"to": []}, {"to": None}])
def test_a_rule_without_peers_is_for_the_whole_world(rule: dict[str, Any]) -> None:
    assert leaves(OUTSIDE, policy(egress=[rule])) == {80, 443}


def test_a_pod_selector_alone_is_for_the_policys_own_namespace() -> None:
    rules = policy(egress=[to(POD_B)])
    assert leaves(B, rules) == {443}
    assert leaves(ELSEWHERE, rules) == set()


def test_both_selectors_of_one_peer_must_match() -> None:
    theirs = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "theirs"}}}
    assert leaves(ELSEWHERE, policy(egress=[to(theirs | POD_B)])) == {443}
    assert leaves(B, policy(egress=[to(theirs | POD_B)])) == set()
    assert leaves(B, policy(egress=[to(theirs, POD_B)])) == {443}


def test_a_block_is_for_addresses_outside_and_has_exceptions() -> None:
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
    assert leaves(OUTSIDE, policy(egress=[to(block)])) == set()
    del block["ipBlock"]["except"]
    assert leaves(OUTSIDE, policy(egress=[to(block)])) == {443}


def test_a_port_is_for_the_protocol_that_is_named_with_it() -> None:
    rule = {"to": [POD_B], "ports": [{"port": 443, "protocol": "UDP"}]}
    network = Network([policy(egress=[rule])])
    assert network.leaves(A, B, (80, 443)) == set()
    assert network.leaves(A, B, (80, 443), "UDP") == {443}


def test_a_block_of_one_family_holds_no_address_of_the_other() -> None:
    everything = {"ipBlock": {"cidr": "::/0", "except": ["fd00:ec2::254/128"]}}
    network = Network([policy(egress=[to(everything)])])
    assert network.leaves(A, OUTSIDE, (443,)) == set()
    assert network.leaves(A, Endpoint("six", address="2001:db8::1"), (443,)) == {443}
    assert network.leaves(A, Endpoint("metadata", address="fd00:ec2::254"), (443,)) == set()


def test_what_the_evaluator_does_not_know_it_refuses() -> None:
    with pytest.raises(NotImplementedError):
        leaves(B, policy(podSelector={"matchExpressions": [{"key": "app", "operator": "Exists"}]}))


def allowed(*specs: dict[str, Any], **fields: Any) -> bool:
    policies = [{"metadata": {"namespace": "own"}, "spec": spec} for spec in specs]
    request = Request(**{"principal": "a", "port": 80, "method": "GET", "path": "/x", **fields})
    return authorized(policies, "own", {"app": "b"}, request)


def test_no_policy_admits_everybody_and_an_empty_one_nobody() -> None:
    assert allowed()
    assert not allowed({})
    assert not allowed({"action": "ALLOW"})
    assert allowed({}, {"rules": [{}]})


def test_a_rule_wants_source_operation_and_condition_together() -> None:
    rule = {
        "from": [{"source": {"principals": ["a"], "requestPrincipals": ["iss/*"]}}],
        "to": [{"operation": {"methods": ["GET"], "paths": ["/x*"], "ports": ["80"]}}],
        "when": [{"key": "request.auth.audiences", "values": ["aud"]}],
    }
    good = {"issuer": "iss", "audience": "aud"}
    assert allowed({"rules": [rule]}, **good, path="/xyz")
    for wrong in (
        {"principal": "b"},
        {"issuer": None},
        {"audience": "other"},
        {"method": "POST"},
        {"path": "/y"},
        {"port": 81},
    ):
        assert not allowed({"rules": [rule]}, **{**good, **wrong})


def test_a_policy_for_other_pods_does_not_count() -> None:
    other = {"selector": {"matchLabels": {"app": "c"}}, "rules": [{}]}
    assert not allowed({}, other)
