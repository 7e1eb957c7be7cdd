"""`twelvefold rollout` on the cluster: runs, versions of planted conduct, deployed state.

A version is the same image told apart by what it is started with, so that only its conduct differs.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.cluster.cluster import ROOT, kubectl, until
from tests.cluster.deployment import NAMESPACE, Deployment

TWELVEFOLD = Path(sys.executable).with_name("twelvefold")
# As the image's own start, but for requests of clients and of api: not for probes and metrics.
_PLANTED = """
import asyncio, random
from twelvefold.http.middleware.routing import RouteIndex
serve = RouteIndex._serve
async def serve_badly(index, route, scope, receive, send):
    if scope["path"].startswith(("/api/", "/internal/")):
        {conduct}
    await serve(index, route, scope, receive, send)
RouteIndex._serve = serve_badly
from twelvefold.cli import main
main()
"""
_ERRORS = 'if random.random() < 0.05: raise RuntimeError("planted")'
_SLOWNESS = "await asyncio.sleep(0.8)"
_STARTS = {
    "errors": _PLANTED.format(conduct=_ERRORS),
    "slow": _PLANTED.format(conduct=_SLOWNESS),
    "crashing": 'import sys; sys.exit("planted: it does not start")',
    "never ready": "import time; time.sleep(3600)",
}
BAD = (*_STARTS, "not there")
_UNCOUNTED = frozenset(
    {
        "bindings",
        "endpoints",
        "endpointslices.discovery.k8s.io",
        "events",
        "events.events.k8s.io",
        "leases.coordination.k8s.io",
        "localsubjectaccessreviews.authorization.k8s.io",
        "pods.metrics.k8s.io",
    }
)


class Run:
    """One run of the command; whole once it has ended."""

    def __init__(self, *arguments: str) -> None:
        self.lines: list[str] = []
        self.code: int | None = None
        self.seconds = 0.0
        self._began = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 (ours)
            [TWELVEFOLD, "rollout", *arguments, "-n", NAMESPACE, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(iter(self._process.stdout.readline, ""))

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    @property
    def why(self) -> str:
        """How it ended, in its own words."""
        ended = [event["text"] for event in self.events if event["kind"] == "ended"]
        return ended[-1] if ended else "".join(self.lines[-5:])

    def wait(self, timeout: float = 600) -> Run:
        self.code = self._process.wait(timeout)
        self.seconds = time.monotonic() - self._began
        self._reader.join(timeout=10)
        return self

    def reaches(self, step: str, timeout: float = 120) -> None:
        """Waits for a step to begin. Raises TimeoutError, also where the run has ended before."""
        until(lambda: self._reported("step", step), f"{step} begins", timeout)

    def leads(self, share: int, timeout: float = 120) -> None:
        """Wait until `share` percent of the requests go to the new version. Raises as above."""
        until(lambda: self._reported("routed", share), f"{share} % are led there", timeout)

    def _reported(self, fact: str, value: object) -> bool:
        return any(event.get(fact) == value for event in self.events)

    def lasts(self, seconds: float) -> bool:
        """Whether it is still at work after so long."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.poll() is None

    def stop(self, number: int = signal.SIGKILL) -> None:
        """Sends a signal to the command alone (what it started has to notice), and waits."""
        self._process.send_signal(number)
        self.wait()

    def transcript(self) -> str:
        """For an assertion's message."""
        return "\n".join(
            [
                f"exit {self.code} after {self.seconds:.0f} s: {self.why}",
                *map(str.rstrip, self.lines),
            ]
        )


class Rollouts:
    """Start the command for a deployment. Each version is named, and differs from all before."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def start(self, service: str, conduct: str, name: str, *options: str) -> Run:
        """A rollout to a version that is `good` or one of BAD."""
        values: dict[str, Any] = {"podAnnotations": {"version": name}}
        if conduct in _STARTS:
            values["command"] = ["python3", "-c", _STARTS[conduct]]
        file = self._deployment.folder / f"{service}-{name}.json"
        file.write_text(json.dumps(values))
        tag = name if conduct == "not there" else self._deployment.tag
        image = f"{self._deployment.repository}/{service}:{tag}"
        return Run(service, "--to", image, "--values", str(file), *options)

    def abort(self, service: str) -> Run:
        return Run(service, "--abort")

    def serving(self, service: str) -> set[str]:
        """Names of the versions whose pods are there."""
        return {
            pod["metadata"].get("annotations", {}).get("version", "")
            for pod in self._deployment.pods(service)
        }


def deployed_state() -> dict[str, Any]:
    """Return every object of the namespace as desired: no status, clocks or Helm's records."""
    kinds = kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    counted = ",".join(kind for kind in kinds if kind not in _UNCOUNTED)
    found = json.loads(kubectl("-n", NAMESPACE, "get", counted, "-o", "json", timeout=120))
    result = {}
    for one in found["items"]:
        metadata = one["metadata"]
        if one.get("type") == "helm.sh/release.v1" or "deletionTimestamp" in metadata:
            continue
        for changing in ("managedFields", "resourceVersion", "generation", "selfLink"):
            metadata.pop(changing, None)
        one.pop("status", None)
        result[f"{one['kind']}/{metadata['name']}"] = one
    return result


def difference(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What is not as it was, by object; what differs within is shown."""
    found = [f"gone: {name}" for name in before.keys() - after.keys()]
    found += [f"new: {name}" for name in after.keys() - before.keys()]
    for name in before.keys() & after.keys():
        found += [f"{name}: {path}" for path in _paths(before[name], after[name])]
    return sorted(found)


def _paths(before: Any, after: Any, path: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() | after.keys():
            yield from _paths(before.get(key), after.get(key), f"{path}.{key}")
    elif before != after:
        yield f"{path}: {before!r} -> {after!r}"


@contextmanager
def unchanged() -> Iterator[list[str]]:
    """Holds, once left, what is not as it was before; it is given some seconds to settle."""
    before = deployed_state()
    found: list[str] = []
    yield found

    def same() -> bool:
        found[:] = difference(before, deployed_state())
        return not found

    try:
        until(same, "everything is as before", timeout=30)
    except TimeoutError:
        return
