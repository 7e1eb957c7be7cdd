"""Releases: each is tested, upgraded by itself, and accepted by API server and mesh."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pytest
import yaml
from tests.cluster.cluster import ROOT, Object, kubectl, objects, run
from tests.cluster.deployment import NAMESPACE, SYSTEM, Deployment
from tests.suite import SERVICES

CHARTS = sorted(
    str(path.parent.relative_to(ROOT))
    for path in ROOT.glob("*/*/Chart.yaml")
    if yaml.safe_load(path.read_text())["type"] == "application"
)
# Servers for development are for no other environment.
CASES = [
    (chart, environment)
    for chart in CHARTS
    for environment in ("dev", "staging", "production")
    if chart != "charts/backing" or environment == "dev"
]
_KINDS = (
    "deployments,services,configmaps,serviceaccounts,networkpolicies,poddisruptionbudgets,"
    "horizontalpodautoscalers,virtualservices,destinationrules,authorizationpolicies,sidecars,"
    "requestauthentications,peerauthentications,gateways,envoyfilters,resourcequotas"
)


@pytest.mark.parametrize("service", SERVICES)
def test_a_release_passes_its_own_test(deployment: Deployment, service: str) -> None:
    output = run("helm", "test", service, "-n", NAMESPACE, "--timeout", "2m", timeout=130)

    assert "Succeeded" in output
    assert '"status": "ok"' in kubectl("-n", NAMESPACE, "logs", f"{service}-test")


def content(one: Object) -> str:
    """What somebody wrote into an object, as against what controllers note there."""
    written = {key: value for key, value in one.items() if key not in ("metadata", "status")}
    return hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()


def _written() -> dict[str, tuple[str, str]]:
    """Content and release of every object of the namespace."""
    return {
        f"{one['kind']} {one['metadata']['name']}": (
            content(one),
            one["metadata"].get("annotations", {}).get("meta.helm.sh/release-name", ""),
        )
        for one in objects(_KINDS, NAMESPACE)
    }


def _running() -> dict[str, set[tuple[str, int]]]:
    """Pods of each service by their identity, and how often they were started."""
    found: dict[str, set[tuple[str, int]]] = {service: set() for service in SERVICES}
    for pod in objects("pods", NAMESPACE, "app.kubernetes.io/component=service"):
        starts = sum(one["restartCount"] for one in pod["status"].get("containerStatuses", []))
        if "deletionTimestamp" not in pod["metadata"]:
            service = pod["metadata"]["labels"]["app.kubernetes.io/name"]
            found[service].add((pod["metadata"]["uid"], starts))
    return found


def test_an_upgrade_of_one_service_changes_and_restarts_only_its_own(
    deployment: Deployment,
) -> None:
    objects_before, pods_before = _written(), _running()

    deployment.service("users", "--set-string", f"podAnnotations.touched=at-{time.time_ns()}")

    objects_after, pods_after = _written(), _running()
    changed = {
        name: release
        for name, (digest, release) in objects_after.items()
        if objects_before.get(name, ("", ""))[0] != digest
    }
    assert changed == {"Deployment users": "users"}
    assert objects_before.keys() == objects_after.keys()
    assert pods_before["users"].isdisjoint(pods_after["users"])
    for service in set(SERVICES) - {"users"}:
        assert pods_before[service] == pods_after[service]


def test_an_upgrade_to_the_same_restarts_nothing(deployment: Deployment) -> None:
    deployment.service("users")
    before = _running()

    deployment.service("users")

    assert _running() == before


def _rendered(chart: str, environment: str, folder: Path) -> str:
    """A chart as an environment gets it, in the namespaces of this test."""
    site = folder / "namespace.yaml"
    site.write_text(yaml.safe_dump({"global": {"namespace": NAMESPACE}}))
    files = [ROOT / chart / f"values-{environment}.yaml"]
    if environment != "dev":
        files.append(ROOT / "charts/site.example.yaml")
    more = []
    if chart.startswith("charts/") and not chart.endswith("platform"):
        more = ["--set-string", "image.tag=1"]
    if chart == "istio/mesh" and environment != "dev":
        more = ["--set-json", 'tokens.jwks="{\\"keys\\": []}"']
    version = json.loads(kubectl("version", "--output", "json"))["serverVersion"]["gitVersion"]
    return run(
        *("helm", "template", chart.rpartition("/")[2], chart),
        *("--namespace", SYSTEM if chart.endswith("platform") else NAMESPACE),
        *("--kube-version", version, *more),
        *(part for file in (*files, site) for part in ("--values", file)),
    )


@pytest.mark.parametrize(("chart", "environment"), CASES)
def test_the_api_server_takes_every_object(
    deployment: Deployment, chart: str, environment: str, tmp_path: Path
) -> None:
    """Schemas, rules in CEL, Pod Security and the mesh's own webhook; nothing is stored."""
    manifest = _rendered(chart, environment, tmp_path)
    refused = []
    for one in yaml.safe_load_all(manifest):
        if not one or one["kind"] == "Namespace":
            continue
        command = ("apply", "--server-side", "--force-conflicts", "--dry-run=server")
        try:
            kubectl(*command, "--filename", "-", given=json.dumps(one))
        except AssertionError as error:
            refused.append(str(error).splitlines()[-1])
    assert refused == []


def test_istio_finds_nothing_to_remark(deployment: Deployment) -> None:
    output = run(
        *("istioctl", "analyze", "--namespace", NAMESPACE, "--output", "json"),
        # That an EnvoyFilter is not for everybody is known: problems for errors need one.
        *("--suppress", "IST0133=EnvoyFilter *"),
        # A Service has its port 80 beside the 8000 of earlier releases, both to the port http.
        *("--suppress", "IST0137=Deployment *"),
        timeout=120,
    )

    assert json.loads(output) == []
