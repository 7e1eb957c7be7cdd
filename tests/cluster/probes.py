"""Pods that ask: one for each identity in the mesh, and one outside of it.

Each waits; a question is a request that it makes by `kubectl exec`, so that it has the identity of
the pod's service account and passes its sidecar.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.cluster.cluster import Object, apply, kubectl
from tests.cluster.deployment import NAMESPACE, Deployment
from tests.cluster.pods import WAIT, confined_pod

# Asks all of [name, method, url, headers] and prints status, media type and body of each.
_ASK = """
import json, sys, urllib.error, urllib.request
responses = {}
for name, method, url, headers in json.load(sys.stdin):
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            kind, body = answer.headers.get_content_type(), answer.read(500).decode()
            responses[name] = [answer.status, kind, body]
    except urllib.error.HTTPError as error:
        responses[name] = [error.code, error.headers.get_content_type(), error.read(500).decode()]
    except OSError as error:
        responses[name] = [0, "", str(error)]
print(json.dumps(responses))
"""


@dataclass(frozen=True)
class Answer:
    """`status` is 0 where the connection itself was refused or cut."""

    status: int
    media_type: str
    body: str


Question = tuple[str, str, str, dict[str, str]]


def name_of(account: str, *, mesh: bool = True) -> str:
    return f"probe-{account}" if mesh else f"probe-{account}-outside"


def _pod(deployment: Deployment, account: str, *, mesh: bool) -> Object:
    name = name_of(account, mesh=mesh)
    labels = {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/component": "probe",
        "sidecar.istio.io/inject": str(mesh).lower(),
    }
    spec = {"serviceAccountName": account}
    return confined_pod(deployment, name, WAIT, labels=labels, spec=spec)


# Where policies are enforced it is the mesh that refuses, not the network: probes reach all.
_OPEN: Object = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "probes", "namespace": NAMESPACE},
    "spec": {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"app.kubernetes.io/component": "probe"}}}]}
        ],
        "egress": [{}],
    },
}


class Probes:
    """The pods, for as long as a test module needs them."""

    def __init__(self, deployment: Deployment, accounts: tuple[str, ...]) -> None:
        pods = [_pod(deployment, account, mesh=True) for account in accounts]
        pods.append(_pod(deployment, "default", mesh=False))
        self._names = [pod["metadata"]["name"] for pod in pods]
        apply([_OPEN, *pods])
        kubectl(
            *("-n", NAMESPACE, "wait", "--for=condition=Ready", "--timeout=120s"),
            *(f"pod/{name}" for name in self._names),
            timeout=150,
        )

    def ask(self, name: str, questions: list[Question]) -> dict[str, Answer]:
        """Answers by the questions' names."""
        output = kubectl(
            *("-n", NAMESPACE, "exec", "-i", name, "-c", "probe", "--", "python3", "-c", _ASK),
            given=json.dumps(questions),
            timeout=120,
        )
        return {name: Answer(*response) for name, response in json.loads(output).items()}

    def remove(self) -> None:
        kubectl("-n", NAMESPACE, "delete", "networkpolicy", "probes", "--ignore-not-found")
        kubectl(
            *("-n", NAMESPACE, "delete", "pod", "--ignore-not-found", "--wait=true"),
            *self._names,
        )
