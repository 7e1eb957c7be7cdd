"""Our evaluator of NetworkPolicies agrees with cyclonus on every connection of the table.

Only where cyclonus is installed (github.com/mattfenwick/cyclonus): it is a Go program, and the
table itself does not need it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.charts.edges import PORTS, endpoints
from tests.charts.invariants.peers import located
from tests.charts.policies import Endpoint, Network
from tests.charts.rendering import BACKING, NAMESPACE, World

_POD_ADDRESS = "198.51.100.1"  # of no network that a policy names


def _peer(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.address is not None:
        return {"Internal": None, "IP": endpoint.address}
    labels = {"kubernetes.io/metadata.name": endpoint.namespace}
    inside = {
        "PodLabels": dict(endpoint.labels),
        "NamespaceLabels": labels,
        "Namespace": endpoint.namespace,
    }
    return {"Internal": inside, "IP": _POD_ADDRESS}


@pytest.mark.skipif(shutil.which("cyclonus") is None, reason="cyclonus is not installed")
@pytest.mark.parametrize("site", ["dev", "production", "production on GKE and EKS"])
def test_cyclonus_says_the_same(site: str, tmp_path: Path) -> None:
    world = World(site.partition(" ")[0])
    policies = world.of("NetworkPolicy") if site == world.environment else located(world)
    network = Network(policies)
    ours = {NAMESPACE, BACKING}
    requests = [
        (source, target, port, protocol)
        for _, source in endpoints(world)
        for _, target in endpoints(world)
        for port, protocol in (*((port, "TCP") for port in PORTS), (53, "UDP"))
        if source is not target and source.address is None
        if {source.namespace, target.namespace} & ours
    ]
    traffic = [
        {
            "Source": _peer(source),
            "Destination": _peer(target),
            "ResolvedPort": port,
            "ResolvedPortName": "",
            "Protocol": protocol,
        }
        for source, target, port, protocol in requests
    ]
    folder = tmp_path / "policies"
    folder.mkdir()
    for number, policy in enumerate(policies):  # it reads the first document of a file only
        (folder / f"{number}.yaml").write_text(yaml.safe_dump(policy))
    (tmp_path / "traffic.json").write_text(json.dumps(traffic))

    output = subprocess.run(  # noqa: S603 (a tool of the developer)
        [  # noqa: S607 (whichever is installed)
            "cyclonus",
            "analyze",
            "--mode=query-traffic",
            f"--policy-path={folder}",
            f"--traffic-path={tmp_path / 'traffic.json'}",
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    ).stdout
    verdicts = [found == "TRUE" for found in re.findall(r"IS ALLOWED\? \|\s*(TRUE|FALSE)", output)]

    assert len(verdicts) == len(requests) > 1000
    differing = [
        f"{source.name} to {target.name}, {protocol} {port}: {'allowed' if verdict else 'denied'}"
        for (source, target, port, protocol), verdict in zip(requests, verdicts, strict=True)
        if verdict
        != (
            port in network.leaves(source, target, [port], protocol)
            and port in network.enters(source, target, [port], protocol)
        )
    ]
    assert differing == []
