"""Charts as the real Helm engine renders them, and the suite that their releases make together.

Owns values, releases and where a world of them is rendered from: the checkout, or a copy with a
planted fault. What must hold of the objects is in `invariants`.
"""

from __future__ import annotations

import atexit
import copy
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import helm_python
import yaml
from tests.charts.tree import ROOT, copied
from tests.suite import ROUTED, SERVICES

NAMESPACE, PLATFORM, BACKING = "twelvefold", "twelvefold-system", "twelvefold-backing"
ENVIRONMENTS = ("dev", "staging", "production")
DIGEST = "sha256:" + "ab" * 32
# Public keys of no issuer: the mesh wants some outside development.
JWKS = json.dumps(
    {"keys": [{"kty": "EC", "crv": "P-256", "kid": "k", "x": "x" * 43, "y": "y" * 43}]}
)
Object = dict[str, Any]
Values = dict[str, Any]
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Release:
    """One `helm upgrade --install`. `chart` is its folder; later values win."""

    chart: str
    name: str
    namespace: str = NAMESPACE
    environment: str = "production"
    values: Values = field(default_factory=dict, hash=False)

    @property
    def is_second(self) -> bool:
        return self.chart.startswith("charts/") and self.name != Path(self.chart).name

    def render(self, root: Path = ROOT) -> list[Object]:
        """Every object, not to be changed. Raises helm_python's errors where the chart refuses."""
        chart = load(self.chart) if root == ROOT else helm_python.Chart.load(root / self.chart)
        rendered = chart.render(self.in_force(root), name=self.name, namespace=self.namespace)
        return parse(rendered)

    def in_force(self, root: Path = ROOT) -> Values:
        """What is passed on the command line: files of the environment, the site's, the tests'."""
        files = [root / self.chart / f"values-{self.environment}.yaml"]
        if self.environment != "dev":
            files.append(root / "charts/site.example.yaml")
        values: Values = {}
        for path in files:
            values = merged(values, read(path))
        return merged(values, self.values)


def parse(rendered: Mapping[str, str]) -> list[Object]:
    """The objects in what the engine rendered by file, without what it prints at the end."""
    found: list[Object] = []
    for path, content in sorted(rendered.items()):
        if not path.endswith("NOTES.txt"):
            found += _objects(content)
    return found


def merged(base: Values, more: Mapping[str, Any]) -> Values:
    """`base` with `more` over it, map by map, as Helm does."""
    result = copy.deepcopy(base)
    for key, value in more.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


def read(path: Path) -> Values:
    """A values file, not to be changed."""
    return _values(path.read_text())


@cache
def _values(content: str) -> Values:
    return yaml.load(content, _Loader) or {}  # noqa: S506 (a safe loader)


@cache
def _objects(content: str) -> list[Object]:
    # Most of a copy with a fault is as in the checkout: read once, and never changed by a check.
    return [one for one in yaml.load_all(content, _Loader) if one]


@cache
def _built_checkout() -> Path:
    """A copy of the checkout's charts with their libraries, for this process."""
    folder = tempfile.mkdtemp(prefix="twelvefold-charts-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return copied(Path(folder))


@cache
def load(chart: str) -> helm_python.Chart:
    """A chart of the checkout, which does not change during a run."""
    return helm_python.Chart.load(folder_of(chart))


def folder_of(chart: str) -> Path:
    """A folder of a chart of the checkout with its libraries, not to be changed."""
    return _built_checkout() / chart


def releases(environment: str, *, second: bool = True) -> list[Release]:
    """Everything that is installed in an environment, with a second release of each service."""
    image = {"image": {"tag": "2026.11.25-0123abc", "digest": DIGEST}}
    canary = {"canary": {"enabled": second}}
    tokens = {} if environment == "dev" else {"tokens": {"jwks": JWKS}}
    found = [Release("charts/platform", "platform", PLATFORM, environment)]
    if environment == "dev":
        found.append(Release("charts/backing", "backing", BACKING, environment, image))
    for service in SERVICES:
        names = [service, f"{service}-canary"] if second else [service]
        found += [
            Release(f"charts/{service}", name, NAMESPACE, environment, image) for name in names
        ]
    found.append(Release("istio/mesh", "mesh", NAMESPACE, environment, tokens))
    for service in SERVICES:
        values = canary if service in ROUTED else {}
        found.append(
            Release(f"istio/{service}", f"{service}-routing", NAMESPACE, environment, values)
        )
    return found


class World:
    """The objects of all releases of an environment, and questions about them.

    `root` is the checkout, or a copy of its charts with a fault in it; `installed` replaces the
    releases that the environment has.
    """

    def __init__(
        self, environment: str, root: Path = ROOT, installed: Iterable[Release] | None = None
    ) -> None:
        self.environment = environment
        self.root = root
        self._installed = releases(environment) if installed is None else list(installed)

    @cached_property
    def rendered(self) -> list[tuple[Release, list[Object]]]:
        return [(one, one.render(self.root)) for one in self._installed]

    @cached_property
    def objects(self) -> list[Object]:
        return [one for _, found in self.rendered for one in found]

    def folder_of(self, chart: str) -> Path:
        """A folder of a chart of this world with its libraries."""
        return folder_of(chart) if self.root == ROOT else self.root / chart

    def of(self, *kinds: str) -> list[Object]:
        return [one for one in self.objects if one["kind"] in kinds]

    def named(self, kind: str, name: str) -> Object | None:
        return next((one for one in self.of(kind) if one["metadata"]["name"] == name), None)

    def workloads(self) -> Iterator[Workload]:
        """Everything that becomes pods."""
        for one in self.objects:
            if one["kind"] in ("Deployment", "Job"):
                yield Workload(one, one["spec"]["template"])
            elif one["kind"] == "Pod":
                yield Workload(one, one)

    def services(self) -> Iterator[Workload]:
        """The Deployments of the services, second releases included."""
        for workload in self.workloads():
            if workload.owner["kind"] == "Deployment" and workload.service in SERVICES:
                yield workload

    def variables(self, workload: Workload) -> dict[str, str]:
        """What the first container reads from ConfigMaps, the later over the earlier."""
        variables: dict[str, str] = {}
        for source in workload.containers[0]["envFrom"]:
            found = self.named("ConfigMap", source["configMapRef"]["name"])
            variables |= found["data"] if found else {}
        return variables

    def fewest(self, workload: Workload) -> int:
        """Pods that a Deployment keeps."""
        scaler = self.named("HorizontalPodAutoscaler", workload.name)
        return int(scaler["spec"]["minReplicas"] if scaler else workload.owner["spec"]["replicas"])

    def most(self, workload: Workload) -> int:
        """Pods that a Deployment may have at a time, while they are replaced."""
        scaler = self.named("HorizontalPodAutoscaler", workload.name)
        count = scaler["spec"]["maxReplicas"] if scaler else workload.owner["spec"]["replicas"]
        return int(count) + int(workload.owner["spec"]["strategy"]["rollingUpdate"]["maxSurge"])


@dataclass(frozen=True)
class Workload:
    """An object that becomes pods, and the template of these."""

    owner: Object
    template: Object

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.template["metadata"]["labels"]
        return labels

    @property
    def service(self) -> str:
        return self.labels["app.kubernetes.io/name"]

    @property
    def name(self) -> str:
        return str(self.owner["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.owner["metadata"]["namespace"])

    @property
    def pod(self) -> Object:
        spec: Object = self.template["spec"]
        return spec

    @property
    def containers(self) -> list[Object]:
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]

    def __str__(self) -> str:
        return title(self.owner)


def title(one: Object) -> str:
    """How a complaint names an object."""
    return f"{one['kind']} {one['metadata'].get('namespace', '')}/{one['metadata']['name']}"


def is_hook(one: Object) -> bool:
    return "helm.sh/hook" in one["metadata"].get("annotations", {})
