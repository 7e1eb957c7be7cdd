"""What happens to a service's pods every day: replaced, restarted, evicted, killed.

Each returns once as many pods as before are ready again.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.cluster.cluster import CommandFailed, Object, kubectl, until
from tests.cluster.deployment import NAMESPACE, Deployment

REPLICAS = 2
_READY = 120.0  # seconds


def upgrade(deployment: Deployment, service: str) -> None:
    """`helm upgrade` with a change that changes nothing but the pods' template."""
    touched = f"podAnnotations.touched=at-{time.time_ns()}"
    deployment.service(service, "--set", f"replicas={REPLICAS}", "--set-string", touched)


def restart(deployment: Deployment, service: str) -> None:
    kubectl("-n", NAMESPACE, "rollout", "restart", f"deployment/{service}")
    wait_for_rollout(service)


def wait_for_rollout(service: str) -> None:
    command = ("rollout", "status", f"deployment/{service}", f"--timeout={_READY:.0f}s")
    kubectl("-n", NAMESPACE, *command, timeout=_READY + 10)


def evict(deployment: Deployment, service: str) -> None:
    """Every pod, one by one, as `kubectl drain` does: repeated while the budget refuses."""
    before = [pod["metadata"]["name"] for pod in deployment.pods(service)]
    for name in before:
        until(partial(_evicted, name), f"{name} may be evicted", _READY)
    until(lambda: deployment.ready(service) >= REPLICAS, f"{service} has its pods", _READY)
    left = {pod["metadata"]["name"] for pod in deployment.pods(service)}
    assert left.isdisjoint(before), left & set(before)


def _evicted(name: str) -> bool:
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": NAMESPACE},
    }
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
    try:
        kubectl("create", "--raw", path, "--filename", "-", given=json.dumps(eviction))
    except CommandFailed as error:
        if "disruption budget" not in str(error):
            raise
        return False
    return True


def kill(deployment: Deployment, service: str) -> None:
    """SIGKILL to the main process of one pod, from outside of it: inside, PID 1 is immune."""
    pod = deployment.pods(service)[0]
    before = _starts(pod)
    os.kill(main_process(pod, service), signal.SIGKILL)
    name = pod["metadata"]["name"]

    def started_again() -> bool:
        (now,) = [one for one in deployment.pods(service) if one["metadata"]["name"] == name]
        return _starts(now) > before and deployment.ready(service) >= REPLICAS

    until(started_again, f"{name} is back", _READY)


def _starts(pod: Object) -> int:
    count: int = pod["status"]["containerStatuses"][0]["restartCount"]
    return count


def main_process(pod: Object, container: str) -> int:
    """Its number on this machine. Skips the test where the node is another one."""
    (identifier,) = [
        status["containerID"].rpartition("/")[2]
        for status in pod["status"]["containerStatuses"]
        if status["name"] == container
    ]
    for group in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            if identifier in group.read_text() and _is_first(group.parent):
                return int(group.parent.name)
        except OSError:
            continue  # it has ended meanwhile
    pytest.skip("no node of this cluster is this machine: there is no process to kill")


def _is_first(process: Path) -> bool:
    for line in (process / "status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return line.split()[-1] == "1"
    return False


DISTURBANCES: dict[str, Callable[[Deployment, str], None]] = {
    "helm upgrade": upgrade,
    "rollout restart": restart,
    "eviction": evict,
    "kill -9": kill,
}
