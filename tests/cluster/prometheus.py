"""The cluster's Prometheus, through the API server: targets, rules, alerts and queries.

PROMETHEUS names its Service as NAMESPACE/NAME:PORT; the default is that of the Prometheus operator,
as in the charts.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any
from urllib.parse import urlencode

from tests.cluster.cluster import CommandFailed, kubectl
from tests.cluster.deployment import NAMESPACE

SERVICE = os.environ.get("PROMETHEUS", "monitoring/prometheus-operated:9090")
# An object counts once the operator has written it and the kubelet has refreshed the mounted file.
NOTICED = 240.0  # seconds
Sample = tuple[dict[str, str], float]


def missing() -> str | None:
    """Why there is no Prometheus to ask, or None."""
    try:
        _ask("status/buildinfo")
    except (CommandFailed, subprocess.TimeoutExpired):
        return f"no Prometheus answers at {SERVICE} (PROMETHEUS names another)"
    return None


def server_address() -> str:
    """The URL by which pods reach it."""
    namespace, _, service = SERVICE.partition("/")
    name, _, port = service.partition(":")
    return f"http://{name}.{namespace}:{port}"


def _ask(path: str, **parameters: str) -> Any:
    namespace, _, service = SERVICE.partition("/")
    url = f"/api/v1/namespaces/{namespace}/services/{service}/proxy/api/v1/{path}"
    found = kubectl("get", "--raw", f"{url}?{urlencode(parameters)}", timeout=20)
    return json.loads(found)["data"]


def query(expression: str) -> list[Sample]:
    """The present samples of an instant vector: labels and value."""
    found = _ask("query", query=expression)["result"]
    return [(one["metric"], float(one["value"][1])) for one in found]


def targets() -> list[tuple[str, str, str]]:
    """Service, pod and health of every target of this namespace."""
    return [
        (one["labels"]["job"], one["labels"]["pod"], one["health"])
        for one in _ask("targets", state="active")["activeTargets"]
        if one["labels"].get("namespace") == NAMESPACE
    ]


def rules() -> list[dict[str, Any]]:
    """Every rule that PrometheusRules of this namespace bring, with its health and last error."""
    return [
        rule
        for group in _ask("rules")["groups"]
        if f"/{NAMESPACE}-" in group["file"]
        for rule in group["rules"]
    ]


def alert_states(name: str, /, **labels: str) -> set[str]:
    """`pending` or `firing`, of every active alert of that name with these labels."""
    return {
        one["state"]
        for one in _ask("alerts")["alerts"]
        if one["labels"]["alertname"] == name and labels.items() <= one["labels"].items()
    }
