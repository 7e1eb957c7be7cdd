"""Pods that try connections: one for each identity that NetworkPolicies know.

Owns the pods, what they try and what became of it; which connections should succeed is the test's.
They are outside the mesh, whose proxies would accept every connection, and never ready, so that no
Service sends them what is for the pods whose labels they have.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.charts.policies import Labels
from tests.cluster.cluster import CommandFailed, Object, apply, kubectl, objects, until
from tests.cluster.deployment import NAMESPACE, Deployment
from tests.cluster.pods import WAIT, confined_pod

OUTSIDE = f"{NAMESPACE}-outside"  # a namespace without policies of the suite
SERVER_PORT = 8080
PATIENCE = 3  # seconds until an attempt counts as timed out: SYN is sent at 0, 1 and 3 s

_SERVE = ["python3", "-m", "http.server", str(SERVER_PORT)]
# Tries all of [protocol, address, port] at once and prints what became of each. A refusal comes
# from the pod, so the network let the attempt pass. By UDP it is a question to a DNS server.
_TRY = """
import asyncio, json, sys

QUESTION = bytes.fromhex("abcd01000001000000000000" "0a6b756265726e65746573" "0000010001")

class Response(asyncio.DatagramProtocol):
    def __init__(self): self.came = asyncio.get_running_loop().create_future()
    def datagram_received(self, data, address): self.came.done() or self.came.set_result(True)

async def attempt(protocol, address, port):
    if protocol == "UDP":
        open_udp = asyncio.get_running_loop().create_datagram_endpoint
        transport, heard = await open_udp(Response, remote_addr=(address, port))
        transport.sendto(QUESTION)
        try:
            await heard.came
        finally:
            transport.close()
        return "connected"
    _, writer = await asyncio.open_connection(address, port)
    writer.close()
    return "connected"

async def outcome(target):
    try:
        return await asyncio.wait_for(attempt(*target), PATIENCE)
    except asyncio.TimeoutError:
        return "timed out"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return str(error)

async def main():
    print(json.dumps(await asyncio.gather(*map(outcome, json.load(sys.stdin)))))

asyncio.run(main())
""".replace("PATIENCE", str(PATIENCE))


@dataclass(frozen=True)
class Identity:
    """Who a pod is to a NetworkPolicy."""

    role: str
    namespace: str
    labels: Labels = field(hash=False)

    @property
    def pod(self) -> str:
        return f"probe-network-{self.role.replace(' ', '-')}"


@dataclass(frozen=True)
class Attempt:
    """A connection to try: to a pod of a role, by its address."""

    role: str
    address: str
    port: int
    protocol: str = "TCP"


def _pod(deployment: Deployment, identity: Identity, command: Sequence[str]) -> Object:
    labels = {
        **identity.labels,
        "twelvefold.dev/probe": NAMESPACE,
        "sidecar.istio.io/inject": "false",
    }
    return confined_pod(
        deployment,
        identity.pod,
        command,
        labels=labels,
        namespace=identity.namespace,
        requests={"cpu": "1m", "memory": "16Mi"},
        spec={
            "terminationGracePeriodSeconds": 0,
            "readinessGates": [{"conditionType": "twelvefold.dev/never"}],
        },
    )


class NetworkProbes:
    """Pods of some identities, and servers that no policy names, for a test module."""

    def __init__(
        self, deployment: Deployment, identities: Iterable[Identity], servers: Iterable[Identity]
    ) -> None:
        self._servers = tuple(servers)
        self._pods = (*identities, *self._servers)
        self._created = [
            namespace
            for namespace in sorted({one.namespace for one in self._pods})
            if not _exists(namespace)
        ]
        apply(
            [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
                for namespace in self._created
            ]
        )
        apply(
            [_pod(deployment, one, _SERVE if one in self._servers else WAIT) for one in self._pods]
        )
        for one in self._pods:
            command = ("wait", "--for=condition=ContainersReady", "--timeout=300s")
            kubectl("-n", one.namespace, *command, f"pod/{one.pod}", timeout=330)

    def address(self, server: Identity) -> str:
        """The address of a server's pod."""
        (pod,) = [
            one
            for one in objects("pods", server.namespace)
            if one["metadata"]["name"] == server.pod
        ]
        address: str = pod["status"]["podIP"]
        return address

    def attempt(self, source: Identity, attempts: list[Attempt]) -> dict[Attempt, str]:
        """Try all at once: `connected`, `refused` by the pod, `timed out`, or another error."""
        given = json.dumps([(one.protocol, one.address, one.port) for one in attempts])
        command = ("exec", "-i", source.pod, "-c", "probe", "--", "python3", "-c", _TRY)
        output = kubectl("-n", source.namespace, *command, given=given, timeout=60)
        return dict(zip(attempts, json.loads(output), strict=True))

    def remove(self) -> None:
        def delete(identity: Identity) -> None:
            command = ("delete", "pod", identity.pod, "--ignore-not-found", "--wait=true")
            kubectl("-n", identity.namespace, *command, timeout=120)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(delete, self._pods))
        for namespace in self._created:
            kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait=false")


def _exists(namespace: str) -> bool:
    try:
        kubectl("get", "namespace", namespace)
    except CommandFailed:
        return False
    return True


def is_enforced(probes: NetworkProbes, source: Identity, server: Identity) -> bool:
    """Whether this cluster enforces a policy: one of the test's own that lets nobody in."""
    policy: Object = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "nobody", "namespace": server.namespace},
        "spec": {
            "podSelector": {"matchLabels": dict(server.labels)},
            "policyTypes": ["Ingress"],
        },
    }
    wanted = [Attempt(server.role, probes.address(server), SERVER_PORT)]

    def outcome() -> str:
        return probes.attempt(source, wanted)[wanted[0]]

    until(lambda: outcome() == "connected", "the server answers where there is no policy")
    apply(policy)
    try:
        until(lambda: outcome() == "timed out", "the policy counts", timeout=15)
    except TimeoutError:
        return False
    else:
        return True
    finally:
        kubectl("-n", server.namespace, "delete", "networkpolicy", "nobody")
