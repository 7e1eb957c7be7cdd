"""The examples for Argo CD and Flux install what production has, in its order, by valid objects."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import yaml
from tests.charts.rendering import NAMESPACE, PLATFORM, Object, releases
from tests.charts.schemas.update import schema_path
from tests.charts.test_rendering import faults
from tests.charts.tree import ROOT
from tests.suite import ROUTED, SERVICES

EXAMPLES = ROOT / "docs/examples"
# Chart, release and namespace of everything that an environment has.
RELEASES = {(one.chart, one.name): one.namespace for one in releases("production", second=False)}
RANGE = "2026.x"
_ROUTING = [f"{service}-routing" for service in ROUTED]


def documents(path: str) -> list[Object]:
    return [one for one in yaml.safe_load_all((EXAMPLES / path).read_text()) if one]


def applications() -> list[Object]:
    return [one for one in documents("argo-cd/applications.yaml") if "sources" in one["spec"]]


def helm_releases() -> dict[str, Object]:
    found = [one for one in documents("flux/releases.yaml") if one["kind"] == "HelmRelease"]
    return {one["metadata"]["name"]: one for one in found}


@pytest.mark.parametrize("path", ["argo-cd/applications.yaml", "flux/releases.yaml"])
def test_every_object_fits_the_schema_of_its_controller(path: str) -> None:
    for one in documents(path):
        group = one["apiVersion"].partition("/")[0]
        assert one["kind"] == "Namespace" or schema_path(group, one["kind"]).exists()
        # Our own objects must have labels; these are the site's.
        assert list(faults({**one, "metadata": {"labels": {}, **one["metadata"]}})) == []


def test_argo_cd_installs_every_release_of_production() -> None:
    found = {}
    for one in applications():
        chart, site = one["spec"]["sources"]
        kind = chart["repoURL"].rpartition("/")[2]
        assert chart["repoURL"] == f"ghcr.io/twelvefold/{kind}"
        assert chart["targetRevision"] == RANGE
        assert chart["helm"]["valueFiles"][:2] == ["values-production.yaml", "$site/site.yaml"]
        assert site["ref"] == "site"
        name = f"{kind}/{chart['chart']}", chart["helm"]["releaseName"]
        found[name] = one["spec"]["destination"]["namespace"]

    assert found == RELEASES


def test_flux_installs_every_release_of_production() -> None:
    found = {}
    for name, one in helm_releases().items():
        spec = one["spec"]
        chart = spec["chart"]["spec"]
        kind = chart["sourceRef"]["name"].removeprefix("twelvefold-")
        assert chart["version"] == RANGE
        assert chart["valuesFiles"] == ["values.yaml", "values-production.yaml"]
        assert spec["releaseName"] == name
        assert spec["storageNamespace"] == spec["targetNamespace"]
        assert {"kind": "ConfigMap", "name": "twelvefold-site"} in spec["valuesFrom"]
        found[f"{kind}/{chart['chart']}", name] = spec["targetNamespace"]

    assert found == RELEASES
    repositories = {
        one["metadata"]["name"]: one["spec"]["url"]
        for one in documents("flux/releases.yaml")
        if one["kind"] == "HelmRepository"
    }
    assert repositories == {
        f"twelvefold-{kind}": f"oci://ghcr.io/twelvefold/{kind}" for kind in ("charts", "istio")
    }


def _wave(one: Object) -> int:
    return int(one["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])


def test_waves_put_the_platform_first_and_services_in_the_order_of_their_migrations() -> None:
    waves = {one["spec"]["sources"][0]["helm"]["releaseName"]: _wave(one) for one in applications()}
    (secrets,) = [one for one in documents("argo-cd/applications.yaml") if "source" in one["spec"]]

    order = ["platform", "mesh", *(f"{service}-routing" for service in SERVICES), *SERVICES]
    assert sorted(waves, key=lambda name: (waves[name], order.index(name))) == order
    for before, after in pairwise(SERVICES):
        assert waves[before] < waves[after]
    assert waves["platform"] < _wave(secrets) < waves[SERVICES[0]]


def test_flux_waits_for_what_a_release_needs() -> None:
    found = helm_releases()

    def before(name: str) -> set[str]:
        names = {one["name"] for one in found[name]["spec"].get("dependsOn", [])}
        return names.union(*(before(one) for one in names))

    for earlier, later in pairwise(SERVICES):
        assert earlier in before(later)
    for service in SERVICES:
        assert {"platform", "mesh"} <= before(service)
    assert "platform" in before("mesh")


def test_the_weights_that_argo_rollouts_sets_are_no_difference() -> None:
    for one in applications():
        is_routed = one["spec"]["sources"][0]["helm"]["releaseName"] in _ROUTING
        kinds = {entry["kind"] for entry in one["spec"].get("ignoreDifferences", [])}
        assert kinds == ({"VirtualService", "DestinationRule"} if is_routed else set())
        assert "RespectIgnoreDifferences=true" in one["spec"]["syncPolicy"]["syncOptions"]
    for name, one in helm_releases().items():
        drift = one["spec"]["driftDetection"]
        kinds = {entry["target"]["kind"] for entry in drift.get("ignore", [])}
        is_routed = name in _ROUTING
        assert drift["mode"] == "enabled"
        assert kinds == ({"VirtualService", "DestinationRule"} if is_routed else set())


def test_the_secrets_of_the_example_are_those_that_the_chart_mounts() -> None:
    names: list[Any] = [one["spec"]["target"]["name"] for one in documents("secrets.yaml")]

    assert names == ["api", "api-migrate"]
    assert {one["metadata"]["namespace"] for one in documents("secrets.yaml")} == {NAMESPACE}
    assert PLATFORM == "twelvefold-system"
