"""Who changes the number of pods: what of it the cluster has, and every number that there was."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from types import TracebackType
from typing import Self

from tests.cluster.cluster import CommandFailed, kubectl
from tests.cluster.deployment import NAMESPACE

# Faster than the charts' behaviour, which adds pods by the minute and removes them after five.
QUICK = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Pods", "value": 2, "periodSeconds": 15}],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 15,
        "policies": [{"type": "Pods", "value": 2, "periodSeconds": 15}],
    },
}


def missing_keda() -> str | None:
    """Why nothing serves a ScaledObject, or None. Its kind alone does not."""
    wait = ("wait", "apiservice/v1beta1.external.metrics.k8s.io", "--for=condition=Available")
    try:
        kubectl(*wait, "--timeout=2s")
        kubectl("get", "crd", "scaledobjects.keda.sh")
    except CommandFailed:
        return "the cluster has no KEDA with an external metrics server"
    return None


def values(**more: object) -> tuple[str, str]:
    """The option of Helm that gives these values."""
    return "--set-json", ",".join(f"{name}={json.dumps(value)}" for name, value in more.items())


class ReplicaTrail:
    """Every number of pods that a Deployment is given while the block runs."""

    def __init__(self, deployment: str) -> None:
        self.numbers: list[int] = []
        self._deployment = deployment

    def __enter__(self) -> Self:
        self._output = tempfile.TemporaryFile("w+")
        command = ("kubectl", "-n", NAMESPACE, "get", "deployment", self._deployment, "--watch")
        template = r'jsonpath={.spec.replicas}{"\n"}'
        self._watch = subprocess.Popen(  # noqa: S603 (a tool of the developer)
            [*command, "--output", template], stdout=self._output, stderr=subprocess.DEVNULL
        )
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._watch.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._watch.wait(timeout=5)
        self._output.seek(0)
        self.numbers = [int(line) for line in self._output.read().split()]
        self._output.close()


def scaler_figures(service: str) -> str:
    """What the autoscaler of a service measures at present, as `kubectl get` shows it."""
    shown = kubectl("-n", NAMESPACE, "get", "hpa", f"keda-hpa-{service}", "--no-headers")
    return " ".join(shown.split()[2:-1])
