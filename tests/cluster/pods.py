"""Pods of the tests beside those of the suite, as Pod Security `restricted` admits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.cluster.cluster import Object
from tests.cluster.deployment import NAMESPACE, Deployment

WAIT = ("python3", "-c", "import signal; signal.sigwait([signal.SIGTERM])")


def confined_pod(
    deployment: Deployment,
    name: str,
    command: Sequence[str],
    *,
    labels: Mapping[str, str],
    namespace: str = NAMESPACE,
    requests: Mapping[str, str] | None = None,
    container: Mapping[str, Any] | None = None,
    spec: Mapping[str, Any] | None = None,
) -> Object:
    """A pod of api's image that runs a command. `container` and `spec` add further fields."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "probe",
                    "image": f"{deployment.repository}/api:{deployment.tag}",
                    "imagePullPolicy": "IfNotPresent",
                    "command": list(command),
                    "resources": {
                        "requests": dict(requests or {"cpu": "5m", "memory": "32Mi"}),
                        "limits": {"memory": "128Mi"},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                        "readOnlyRootFilesystem": True,
                    },
                    **(container or {}),
                }
            ],
            **(spec or {}),
        },
    }
