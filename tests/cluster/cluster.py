"""The cluster that KUBECONFIG names, by its own tools: kubectl, helm, istioctl.

Owns running them and general queries of the cluster. What is installed is `deployment`'s.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[2]
GATEWAY_NAMESPACE = "istio-system"
Object = dict[str, Any]
T = TypeVar("T")


class CommandFailed(AssertionError):
    """A tool failed; the message is its output."""


def run(
    *command: str | Path, given: str | None = None, timeout: float = 60, ok: Sequence[int] = (0,)
) -> str:
    """Standard output of a command. Raises CommandFailed."""
    done = subprocess.run(  # noqa: S603 (tools of the developer, arguments of the tests)
        [str(part) for part in command],
        input=given,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=ROOT,
    )
    if done.returncode not in ok:
        shown = " ".join(str(part) for part in command)
        raise CommandFailed(f"{shown}\n{done.stdout}\n{done.stderr}".strip())
    return done.stdout


def kubectl(*arguments: str, given: str | None = None, timeout: float = 60) -> str:
    return run("kubectl", *arguments, given=given, timeout=timeout)


def objects(kinds: str, namespace: str, selector: str = "") -> list[Object]:
    """Objects of these kinds (comma separated)."""
    chosen = ["--selector", selector] if selector else []
    found = kubectl("--namespace", namespace, "get", kinds, *chosen, "--output", "json")
    items: list[Object] = json.loads(found)["items"]
    return items


def apply(manifest: str | Object | list[Object]) -> None:
    if isinstance(manifest, list):
        manifest = {"apiVersion": "v1", "kind": "List", "items": manifest}
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    kubectl("apply", "--filename", "-", given=text)


def until(look: Callable[[], T], what: str, timeout: float = 60) -> T:
    """The first true value of `look`. Its failures count as "not yet"; raises TimeoutError."""
    deadline = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < deadline:
        try:
            if seen := look():
                return seen
            last = seen
        except (AssertionError, OSError) as error:
            last = error
        time.sleep(0.3)
    raise TimeoutError(f"not within {timeout} s: {what}; last: {last}")


def missing() -> str | None:
    """Why there is no cluster to test on, or None where there is one."""
    for tool in ("kubectl", "helm", "istioctl", "openssl"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    try:
        run("kubectl", "version", "--request-timeout", "5s", timeout=15)
    except (CommandFailed, subprocess.TimeoutExpired):
        return "KUBECONFIG names no cluster that answers"
    try:
        run("kubectl", "get", "crd", "virtualservices.networking.istio.io", timeout=15)
        run("kubectl", "-n", GATEWAY_NAMESPACE, "get", "service", "istio-ingressgateway")
    except CommandFailed:
        return "the cluster has no Istio with an ingress gateway (make cluster-kind makes one)"
    return None


def gateway_address(port: int = 443) -> tuple[str, int]:
    """Where this machine reaches a port of the gateway: a load balancer, or a port of a node."""
    service = json.loads(
        kubectl("-n", GATEWAY_NAMESPACE, "get", "service", "istio-ingressgateway", "-o", "json")
    )
    served = next(one for one in service["spec"]["ports"] if one["port"] == port)
    candidates = [
        (entry.get("ip") or entry["hostname"], port)
        for entry in service.get("status", {}).get("loadBalancer", {}).get("ingress", [])
    ]
    if "nodePort" in served:
        nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
        addresses = [
            entry["address"]
            for node in nodes
            for entry in node["status"]["addresses"]
            if entry["type"] == "InternalIP"
        ]
        candidates += [(address, served["nodePort"]) for address in ("127.0.0.1", *addresses)]
    for candidate in candidates:
        try:
            with socket.create_connection(candidate, timeout=2):
                return candidate
        except OSError:
            continue
    raise AssertionError(f"the gateway answers at none of {candidates}")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


class Forward:
    """`kubectl port-forward` to a service, at a port of this machine that was chosen before."""

    def __init__(self, namespace: str, service: str, port: int, local: int) -> None:
        command = ["kubectl", "-n", namespace, "port-forward", f"service/{service}"]
        self._process = subprocess.Popen(  # noqa: S603 (as above)
            [*command, f"{local}:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._local = local

    def wait(self) -> None:
        def answers() -> bool:
            with socket.create_connection(("127.0.0.1", self._local), timeout=1):
                return True

        until(answers, f"port {self._local} is forwarded", timeout=20)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
