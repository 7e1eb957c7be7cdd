"""How clients come in and how services join the mesh: what is installed in each combination."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from tests.charts.rendering import Release, Values, World, merged, releases
from tests.suite import PUBLIC

GATEWAYS = ("istio", "gateway-api", "ingress")
# `waypoint` is ambient with a waypoint.
MESHES = ("sidecar", "ambient", "waypoint", "none")
COMBINATIONS = tuple(
    (gateway, mesh)
    for gateway in GATEWAYS
    for mesh in MESHES
    if mesh != "waypoint" or gateway == "gateway-api"
)
PARENT = {"name": "public", "namespace": "gateways", "sectionName": "https"}


def site(gateway: str, mesh: str) -> Values:
    """What a site says of both."""
    mode: Values = {"mode": "ambient", "waypoint": True} if mesh == "waypoint" else {"mode": mesh}
    found: Values = {"mesh": mode, "trustedProxies": ["10.0.0.0/16"]}
    if gateway == "gateway-api":
        found["gatewayApi"] = {"enabled": True, "parents": [PARENT], "httpListener": "http"}
    return {"global": found}


def installed(environment: str, gateway: str, mesh: str) -> list[Release]:
    """What a site installs. Without a mesh that is no routing but HTTPRoutes."""
    found = []
    for release in releases(environment):
        kind, _, name = release.chart.partition("/")
        has_routes = gateway == "gateway-api" and name in PUBLIC
        if mesh == "none" and kind == "istio" and not has_routes:
            continue
        values = merged(release.values, site(gateway, mesh))
        if mesh == "ambient" and name not in PUBLIC and "canary" in values:
            values["canary"] = {"enabled": False}
        if gateway == "ingress" and release.chart == "charts/api":
            values["ingress"] = {"enabled": True}
        found.append(Release(release.chart, release.name, release.namespace, environment, values))
    return found


@lru_cache(maxsize=8)
def world(environment: str, root: Path, gateway: str, mesh: str) -> World:
    """The objects of one combination."""
    return World(environment, root, installed(environment, gateway, mesh))


def like(found: World, gateway: str, mesh: str) -> World:
    """A world of the same environment and charts in another combination."""
    return world(found.environment, found.root, gateway, mesh)
