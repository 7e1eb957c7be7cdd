"""A Gateway of the Gateway API on the ingress gateway that Istio already has."""

from __future__ import annotations

from typing import Any

from tests.cluster.cluster import (
    GATEWAY_NAMESPACE,
    CommandFailed,
    Object,
    apply,
    kubectl,
    objects,
    run,
    until,
)

_CRD = "httproutes.gateway.networking.k8s.io"


def missing_gateway_api() -> str | None:
    """Why no HTTPRoute can be tried, or None where one can."""
    try:
        run("kubectl", "get", "crd", _CRD, timeout=15)
    except CommandFailed:
        return f"the cluster has no Gateway API (no CRD {_CRD})"
    return None


class Gateway:
    """Listens for HTTP and HTTPS for one host; routes of one namespace attach to it."""

    def __init__(self, name: str, host: str, secret: str) -> None:
        self._name = name
        self._host = host
        self._secret = secret

    def site(self) -> dict[str, Any]:
        """What the site file says of it, and of the pods behind it."""
        parent = {"name": self._name, "namespace": GATEWAY_NAMESPACE, "sectionName": "https"}
        pods = objects("pods", GATEWAY_NAMESPACE, "istio=ingressgateway")
        addresses = [entry["ip"] for pod in pods for entry in pod["status"].get("podIPs", [])]
        return {
            "gatewayApi": {"enabled": True, "parents": [parent], "httpListener": "http"},
            "trustedProxies": addresses,
        }

    def create(self) -> None:
        """Make it, and wait until Istio has accepted it."""
        apply(self._manifest())
        until(self._is_programmed, "the Gateway is programmed", timeout=60)

    def remove(self) -> None:
        command = ("-n", GATEWAY_NAMESPACE, "delete", "gateways.gateway.networking.k8s.io")
        kubectl(*command, self._name, "--ignore-not-found")

    def _is_programmed(self) -> bool:
        for one in objects("gateways.gateway.networking.k8s.io", GATEWAY_NAMESPACE):
            if one["metadata"]["name"] == self._name:
                conditions = one["status"].get("conditions", [])
                return any(
                    found["type"] == "Programmed" and found["status"] == "True"
                    for found in conditions
                )
        return False

    def _manifest(self) -> Object:
        service = f"istio-ingressgateway.{GATEWAY_NAMESPACE}.svc.cluster.local"
        common: dict[str, Any] = {
            "hostname": self._host,
            "allowedRoutes": {"namespaces": {"from": "All"}},
        }
        tls = {"mode": "Terminate", "certificateRefs": [{"name": self._secret}]}
        return {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": self._name, "namespace": GATEWAY_NAMESPACE},
            "spec": {
                "gatewayClassName": "istio",
                "addresses": [{"type": "Hostname", "value": service}],
                "listeners": [
                    {"name": "https", "port": 443, "protocol": "HTTPS", "tls": tls, **common},
                    {"name": "http", "port": 80, "protocol": "HTTP", **common},
                ],
            },
        }


def accepted(route: Object) -> bool:
    """Whether each Gateway of an HTTPRoute has accepted it and resolved its Services."""
    parents = route.get("status", {}).get("parents", [])
    return bool(parents) and all(
        {(one["type"], one["status"]) for one in parent["conditions"]}
        >= {("Accepted", "True"), ("ResolvedRefs", "True")}
        for parent in parents
    )
