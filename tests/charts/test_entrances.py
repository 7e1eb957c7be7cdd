"""Each gateway in each mesh renders what the API server takes, or is refused with a sentence."""

from __future__ import annotations

import helm_python
import pytest
from tests.charts.entrances import COMBINATIONS, installed, site
from tests.charts.rendering import JWKS, Release, Values, merged
from tests.charts.test_rendering import faults

from api.settings import ApiSettings

IMAGE: Values = {"image": {"tag": "1"}}


@pytest.mark.parametrize("environment", ["dev", "production"])
@pytest.mark.parametrize(("gateway", "mesh"), COMBINATIONS)
def test_each_combination_renders_what_the_api_server_takes(
    environment: str, gateway: str, mesh: str
) -> None:
    rendered = [
        one for release in installed(environment, gateway, mesh) for one in release.render()
    ]

    assert [fault for one in rendered for fault in faults(one)] == []


def combined(chart: str, gateway: str, mesh: str, /, **more: object) -> Release:
    values = merged(IMAGE if chart.startswith("charts/") else {}, site(gateway, mesh))
    return Release(chart, chart.rpartition("/")[2], values=merged(values, more))


REFUSED = {
    "a waypoint behind Istio's own Gateway": (
        combined("charts/api", "istio", "waypoint"),
        "global.mesh.waypoint needs global.gatewayApi.enabled",
    ),
    "a waypoint behind an Ingress": (
        combined("istio/users", "ingress", "waypoint"),
        "global.mesh.waypoint needs global.gatewayApi.enabled",
    ),
    "a waypoint of sidecars": (
        combined("charts/users", "istio", "sidecar", **{"global": {"mesh": {"waypoint": True}}}),
        "global.mesh.waypoint is for global.mesh.mode ambient, and the mode is sidecar",
    ),
    "a mesh where there is none": (
        combined("istio/mesh", "gateway-api", "none", tokens={"jwks": JWKS}),
        "global.mesh.mode is none: there is no mesh to configure",
    ),
    "routes without a mesh and without the Gateway API": (
        combined("istio/api", "istio", "none"),
        "global.mesh.mode is none: there is nothing to route",
    ),
    "routes of a service that is not public without a mesh": (
        combined("istio/users", "gateway-api", "none"),
        "global.mesh.mode is none: there is nothing to route",
    ),
    "a canary of users in ambient without a waypoint": (
        combined("istio/users", "gateway-api", "ambient", canary={"enabled": True}),
        "without a waypoint ambient divides no requests to users",
    ),
    "routes to no Gateway": (
        combined("istio/api", "gateway-api", "none", **{"global": {"gatewayApi": {"parents": []}}}),
        "global.gatewayApi.parents is empty",
    ),
    "clients of one address behind the Gateway API": (
        combined("charts/api", "gateway-api", "none", **{"global": {"trustedProxies": []}}),
        "global.trustedProxies is empty",
    ),
    "clients of one address in ambient": (
        combined("charts/api", "istio", "ambient", **{"global": {"trustedProxies": []}}),
        "global.trustedProxies is empty",
    ),
    "a network of trusted proxies that is none": (
        combined("charts/api", "istio", "ambient", **{"global": {"trustedProxies": ["all"]}}),
        "trustedProxies",
    ),
    "a controller in ambient": (
        combined("charts/api", "istio", "ambient", **{"global": {"rolloutController": "flagger"}}),
        "global.rolloutController flagger sets weights of sidecars' routes",
    ),
    "a controller beside HTTPRoutes": (
        combined(
            "istio/api",
            "gateway-api",
            "sidecar",
            **{"global": {"rolloutController": "argo-rollouts"}},
        ),
        "global.rolloutController argo-rollouts sets weights of VirtualServices",
    ),
    "trusted proxies before a gateway in ambient": (
        combined("istio/mesh", "istio", "ambient", gateway={"trustedProxies": 1}),
        "gateway.trustedProxies needs an EnvoyFilter, which ambient has not",
    ),
    "a revision of sidecars in ambient": (
        Release(
            "charts/platform",
            "platform",
            "twelvefold-system",
            values=merged(site("istio", "ambient"), {"namespace": {"istioRevision": "stable"}}),
        ),
        "namespace.istioRevision injects sidecars",
    ),
    "a mode that there is not": (
        combined("charts/api", "istio", "sidecars"),
        "mode",
    ),
    "CORS by a plain Ingress": (
        combined(
            "charts/api",
            "ingress",
            "none",
            ingress={"enabled": True, "cors": {"origins": ["https://app.example.com"]}},
        ),
        "ingress.cors.origins needs ingress.profile",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_had_is_refused_with_the_reason(name: str) -> None:
    asked, reason = REFUSED[name]

    with pytest.raises((helm_python.HelmRenderError, helm_python.HelmValuesError)) as refusal:
        asked.render()
    assert reason in str(refusal.value)


def ingress(**values: object) -> dict[str, str]:
    """Annotations of the Ingress, whatever its class is called."""
    given: Values = {
        "ingress": {"enabled": True, "profile": "ingress-nginx", "className": "public", **values}
    }
    (found,) = [
        one for one in combined("charts/api", "ingress", "none", **given).render()
        if one["kind"] == "Ingress"
    ]  # fmt: skip
    assert found["spec"]["ingressClassName"] == "public"
    annotations: dict[str, str] = found["metadata"]["annotations"]
    return annotations


def test_an_ingress_is_plain_and_of_the_default_class_unless_a_profile_is_named() -> None:
    rendered = combined("charts/api", "ingress", "none", ingress={"enabled": True}).render()
    (found,) = [one for one in rendered if one["kind"] == "Ingress"]

    assert set(found["metadata"]["annotations"]) == {"cert-manager.io/cluster-issuer"}
    assert "ingressClassName" not in found["spec"]


def test_the_profile_holds_whatever_the_class_is_called() -> None:
    assert ingress()["nginx.ingress.kubernetes.io/proxy-request-buffering"] == "off"


def test_the_ingress_passes_the_largest_image_and_lets_the_api_refuse_larger_ones() -> None:
    size = "nginx.ingress.kubernetes.io/proxy-body-size"
    default = ApiSettings.model_fields["images_max_bytes"].default
    larger: Values = {"config": {"IMAGES_MAX_BYTES": "52428800"}}
    release = combined("charts/api", "ingress", "none", **larger)
    given: Values = {"ingress": {"enabled": True, "profile": "ingress-nginx"}}
    values = merged(release.values, given)
    (found,) = [
        one for one in Release("charts/api", "api", values=values).render()
        if one["kind"] == "Ingress"
    ]  # fmt: skip

    assert ingress()[size] == str(default + 1024**2)
    assert found["metadata"]["annotations"][size] == str(52428800 + 1024**2)
