"""How a site says where its servers are, and what the policies and the mesh make of it."""

from __future__ import annotations

import ipaddress
import random
from typing import Any

import helm_python
import pytest
from tests.charts.edges import METADATA_ADDRESSES
from tests.charts.rendering import JWKS, Object, Release, Values, merged
from tests.suite import SERVICES

_METADATA = [ipaddress.ip_address(address) for address in METADATA_ADDRESSES]


def render(chart: str, peers: Values, name: str = "") -> list[Object]:
    values: Values = {"global": {"peers": peers}}
    if chart.startswith("charts/"):
        values["image"] = {"tag": "1"}
    if chart == "istio/mesh":
        values["tokens"] = {"jwks": JWKS}
    return Release(chart, name or chart.rpartition("/")[2], values=values).render()


def named(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def ways_out(peers: Values, port: int) -> list[Object]:
    """Where worker's policy lets it call that port."""
    rules = named(render("charts/worker", peers), "NetworkPolicy", "worker")["spec"]["egress"]
    return [peer for rule in rules if rule["ports"][-1]["port"] == port for peer in rule["to"]]


def _networks() -> list[str]:
    """Networks around each metadata address: those that hold it, and their neighbours."""
    chance = random.Random(7)  # noqa: S311 (examples)
    found = ["10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0", "::/0", "::1/128", "169.254.20.10/32"]
    for address in _METADATA:
        bits = address.max_prefixlen
        for length in range(bits):
            for number in (int(address), int(address) ^ 1 << bits - 1 - chance.randrange(bits)):
                host = type(address)(number)
                found.append(str(ipaddress.ip_network((host, length), strict=False)))
    return sorted(set(found))


def test_the_metadata_addresses_are_left_out_of_the_networks_that_hold_them_and_of_no_other() -> (
    None
):
    networks = _networks()
    blocks = [peer["ipBlock"] for peer in ways_out({"s3": {"locations": networks}}, 443)]

    assert [block["cidr"] for block in blocks] == networks
    assert len(networks) > 300
    for block in blocks:
        network = ipaddress.ip_network(block["cidr"])
        held = [f"{one}/{one.max_prefixlen}" for one in _METADATA if one in network]
        assert block.get("except", []) == held, block


@pytest.mark.parametrize("text", ["FD00:0EC2:0:0:0:0:0:0/64", "fd00:ec2::254:1/120", "fd00::/16"])
def test_an_address_is_known_however_it_is_written(text: str) -> None:
    (block,) = [peer["ipBlock"] for peer in ways_out({"s3": {"locations": [text]}}, 443)]
    held = ipaddress.ip_address("fd00:ec2::254") in ipaddress.ip_network(text, strict=False)

    assert block.get("except", []) == (["fd00:ec2::254/128"] if held else [])


@pytest.mark.parametrize(
    "text",
    [
        *(
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0/8",
            "256.0.0.0/8",
            "db.example.internal",
            "10.0.0.0/-1",
        ),
        *("0251.254.169.254/32", "169.254.0169.254/32", "2001:db8::/129", "fd00::1.2.3.4/120", ""),
    ],
)
def test_what_is_no_network_is_refused_before_the_api_server_sees_it(text: str) -> None:
    with pytest.raises(helm_python.HelmRenderError) as refusal:
        ways_out({"s3": {"locations": [text]}}, 443)
    assert f"global.peers.s3: {text} is not a network such as 10.20.0.0/24" in str(refusal.value)


def test_the_short_form_says_the_same_as_a_list() -> None:
    labels = {"app": "db"}
    for short, locations in (
        ({"cidrs": ["10.9.0.0/24"]}, ["10.9.0.0/24"]),
        (
            {"namespace": "data", "labels": labels},
            [{"namespace": "data", "labels": labels}],
        ),
        (
            {"cidrs": ["10.9.0.0/24"], "namespace": "data", "labels": labels},
            ["10.9.0.0/24", {"namespace": "data", "labels": labels}],
        ),
    ):
        in_short: Values = {"postgres": {"locations": [], **short}}
        assert ways_out(in_short, 5432) == ways_out({"postgres": {"locations": locations}}, 5432)


def test_a_list_replaces_the_labels_of_the_default() -> None:
    pods = {
        "namespace": "openshift-dns",
        "labels": {"dns.operator.openshift.io/daemonset-dns": "default"},
    }
    (peer,) = ways_out({"dns": {"port": 5353, "locations": [pods]}}, 5353)

    assert peer["podSelector"] == {"matchLabels": pods["labels"]}


def _mesh(peers: Values) -> tuple[list[Object], list[str]]:
    """The mesh's external hosts, and the hosts in worker's Sidecar."""
    entries = [one for one in render("istio/mesh", peers) if one["kind"] == "ServiceEntry"]
    sidecar = named(render("istio/worker", peers), "Sidecar", "worker")
    return entries, sidecar["spec"]["egress"][0]["hosts"]


_POOLER: Any = {"namespace": "data", "labels": {"app": "pooler"}}


@pytest.mark.parametrize(
    ("host", "locations", "known", "external"),
    [
        ("db.example.internal", ["10.20.0.0/24"], "./db.example.internal", True),
        ("db.example.internal", ["10.20.0.0/24", _POOLER], "./db.example.internal", True),
        ("pooler.data.svc.cluster.local", [_POOLER], "data/pooler.data.svc.cluster.local", False),
        (
            "pooler.data.svc.cluster.local",
            ["10.20.0.0/24", _POOLER],
            "data/pooler.data.svc.cluster.local",
            False,
        ),
    ],
)
def test_the_mesh_is_told_of_a_host_that_is_no_service_of_the_cluster(
    host: str, locations: list[Any], known: str, external: bool
) -> None:
    peers: Values = {"postgres": {"host": host, "locations": locations}}
    entries, hosts = _mesh(peers)

    assert known in hosts
    assert ([host] in [one["spec"]["hosts"] for one in entries]) is external


@pytest.mark.parametrize("host", ["169.254.170.23", "fd00:ec2::23"])
def test_a_peer_that_is_called_by_its_address_is_known_to_the_mesh_by_its_networks(
    host: str,
) -> None:
    entries, hosts = _mesh({"cloudIdentity": {"host": host}})
    (entry,) = [one for one in entries if one["metadata"]["name"] == "cloudidentity"]

    assert f"./{entry['spec']['hosts'][0]}" in hosts
    assert entry["spec"]["addresses"] == ["169.254.170.23/32", "fd00:ec2::23/128"]
    assert entry["spec"]["resolution"] == "NONE"
    assert entry["spec"]["ports"] == [
        {"number": 80, "name": "tcp-cloudidentity", "protocol": "TCP"}
    ]


def test_credentials_of_the_cloud_are_for_the_services_that_call_the_store_and_off_by_default() -> (
    None
):
    def reached(chart: str, values: Values) -> bool:
        values = merged({"image": {"tag": "1"}}, values)
        objects = Release(f"charts/{chart}", chart, values=values).render()
        return "169.254.170.23" in str(named(objects, "NetworkPolicy", chart))

    on: Values = {"global": {"peers": {"cloudIdentity": {"host": "169.254.170.23"}}}}
    without_images: Values = {"global": {"features": {"images": False}}}
    assert {name for name in SERVICES if reached(name, on)} == {"api", "worker"}
    assert not reached("worker", {})
    assert not reached("worker", merged(on, without_images))


def test_reasons_are_given_for_the_ways_that_there_are() -> None:
    def annotations(peers: Values) -> set[str]:
        policy = named(render("charts/api", peers), "NetworkPolicy", "api")
        return {name.partition("/")[2] for name in policy["metadata"]["annotations"]}

    assert "to-cloudIdentity" not in annotations({})
    assert "from-ingress-to-http" not in annotations({})
    assert "to-cloudIdentity" in annotations({"cloudIdentity": {"host": "169.254.170.23"}})
