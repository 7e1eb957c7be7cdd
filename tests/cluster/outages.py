"""What makes ready pods fail: a database that is gone, and one more pod that is sick."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.cluster import GATEWAY_NAMESPACE, Object, apply, kubectl, objects, run, until
from tests.cluster.deployment import BACKING, NAMESPACE, Deployment
from tests.cluster.pods import confined_pod

SICK_POD = "api-sick"
# Answers every request at the public port with 503, and keeps the connection.
_SICK = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Sick(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("", 8000), Sick).serve_forever()
"""
_OTHERS = "FROM pg_stat_activity WHERE usename ~ '_app$'"


@contextmanager
def postgres_unreachable(deployment: Deployment) -> Iterator[None]:
    """PostgreSQL runs on with its data, and no service is connected to it or can connect."""
    _select({"app.kubernetes.io/name": "nowhere"})
    try:
        until(lambda: _connections(deployment) == 0, "no service is connected", 60)
        yield
    finally:
        _select({"app.kubernetes.io/name": "postgres"})


def _select(labels: dict[str, str]) -> None:
    patch = [{"op": "replace", "path": "/spec/selector", "value": labels}]
    command = ("patch", "service", "postgres", "--type=json", "--patch", json.dumps(patch))
    kubectl("-n", BACKING, *command)


def _connections(deployment: Deployment) -> int:
    """How many are left once all have been ended; new ones cannot come."""
    deployment.sql(f"SELECT count(pg_terminate_backend(pid)) {_OTHERS}")
    return int(deployment.sql(f"SELECT count(*) {_OTHERS}"))


@contextmanager
def sick_pod(deployment: Deployment) -> Iterator[None]:
    """One more pod of api in the mesh, ready, that answers 503 to everything."""
    apply(_pod(deployment))
    try:
        kubectl(
            *("-n", NAMESPACE, "wait", "--for=condition=Ready", "--timeout=120s"),
            f"pod/{SICK_POD}",
            timeout=130,
        )
        yield
    finally:
        kubectl("-n", NAMESPACE, "delete", "pod", SICK_POD, "--ignore-not-found", timeout=90)


def _pod(deployment: Deployment) -> Object:
    return confined_pod(
        deployment,
        SICK_POD,
        ("python3", "-c", _SICK),
        # The Service and the subset select it, the Deployment does not.
        labels={"app.kubernetes.io/name": "api", "version": "v1"},
        container={
            "ports": [{"name": "http", "containerPort": 8000}],
            "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
        },
        spec={"serviceAccountName": "api"},
    )


def gateways() -> list[str]:
    """Names of the gateway's pods, each of which ejects on its own account."""
    found = objects("pods", GATEWAY_NAMESPACE, "istio=ingressgateway")
    return [one["metadata"]["name"] for one in found if one["status"]["phase"] == "Running"]


def ejected() -> set[str]:
    """Addresses of api's pods that some pod of the gateway has ejected."""
    cluster = f"outbound|8000|v1|api.{NAMESPACE}.svc.cluster.local"
    found = set()
    for gateway in gateways():
        shown = run(
            *("istioctl", "proxy-config", "endpoints", f"{gateway}.{GATEWAY_NAMESPACE}"),
            *("--cluster", cluster, "--output", "json"),
        )
        found |= {
            host["address"]["socketAddress"]["address"]
            for entry in json.loads(shown or "[]")
            for host in entry.get("hostStatuses", [])
            if host.get("healthStatus", {}).get("failedOutlierCheck")
        }
    return found


def answered(deployment: Deployment, handler: str) -> dict[str, float]:
    """How many requests each pod of api has answered at that route, by its own metrics."""
    found = {}
    for pod in deployment.pods("api"):
        name = pod["metadata"]["name"]
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}:9000/proxy/metrics"
        found[name] = sum(
            float(line.rpartition(" ")[2])
            for line in kubectl("get", "--raw", path).splitlines()
            if line.startswith("http_requests_total{") and f'handler="{handler}"' in line
        )
    return found
