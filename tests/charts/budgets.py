"""What charts/platform grants to all services together, computed from the services' charts.

Connections to PostgreSQL, pods, and the CPU and memory that these request: at the greatest number
of pods of both releases of every service, with a margin. `make charts-docs` writes the figures into
the values of charts/platform; the invariants of `capacity` hold them against what Helm renders.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.suite import DECLARED

_RELEASES = 2  # the primary, and a canary of the same size
_SURGE = 1  # pods added while the others are replaced: maxSurge in charts/common
_ONE_OFF = 2 * _RELEASES  # the migration and the test of each release
_MARGIN = 1.05
# What Istio's sidecar requests by default: MiB, thousandths of a CPU.
_SIDECAR_MEMORY, _SIDECAR_CPU = 128, 100
_GIB = 1024  # MiB
# Values of charts/platform by environment; those of production are its defaults.
_FILES = {
    "production": "values.yaml",
    "staging": "values-staging.yaml",
    "dev": "values-dev.yaml",
}


@dataclass(frozen=True, slots=True)
class Budget:
    """Figures of one environment: memory in GiB, CPUs as a number of them."""

    connections: int
    pods: int
    cpu: int
    memory: int


def budget(root: Path, environment: str) -> Budget:
    """Return what the services of `root` may need in an environment, rounded up."""
    connections = pods = cpu = memory = 0.0
    for name, service in DECLARED.items():
        values = _in_force(root, name, environment)
        most = _RELEASES * (_most(values) + _SURGE)
        pool = service.settings.model_fields.get("database_pool_size")
        if pool is not None:
            connections += most * int(values["config"].get("DATABASE_POOL_SIZE", pool.default))
            connections += _RELEASES  # a migration has one
        pods += most + _ONE_OFF
        requests = values["resources"]["requests"]
        cpu += most * (_millicpus(requests["cpu"]) + _SIDECAR_CPU) / 1000
        memory += most * (_mebibytes(requests["memory"]) + _SIDECAR_MEMORY) / _GIB
    return Budget(_up(connections, 10), _up(pods, 10), _up(cpu, 8), _up(memory, 8))


def _in_force(root: Path, service: str, environment: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    folder = root / "charts" / service
    for path in (
        root / "charts/common/values.yaml",
        folder / "values.yaml",
        folder / f"values-{environment}.yaml",
    ):
        values = _over(values, yaml.safe_load(path.read_text()) or {})
    return values


def _over(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        name: _over(base[name], more[name])
        for name in base.keys() & more.keys()
        if isinstance(base[name], Mapping) and isinstance(more[name], Mapping)
    }
    return {**base, **more, **both}


def _most(values: Mapping[str, Any]) -> int:
    scaling = values["autoscaling"]
    return int(scaling["maxReplicas"] if scaling["enabled"] else values["replicas"])


def _millicpus(quantity: str | float) -> float:
    text = str(quantity)
    return float(text.removesuffix("m")) if text.endswith("m") else float(text) * 1000


def _mebibytes(quantity: str) -> float:
    number, unit = float(quantity[:-2]), quantity[-2:]
    return number * {"Mi": 1, "Gi": _GIB}[unit]


def _up(needed: float, step: int) -> int:
    return step * math.ceil(needed * _MARGIN / step)


def files(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the values files of charts/platform with the figures in them."""
    for environment, name in _FILES.items():
        granted = budget(root, environment)
        figures = {
            "connections": str(granted.connections),
            "pods": str(granted.pods),
            "requests.cpu": str(granted.cpu),
            "requests.memory": f"{granted.memory}Gi",
        }
        path = root / "charts/platform" / name
        yield path, _with(path, figures)


def _with(path: Path, figures: Mapping[str, str]) -> str:
    """Return the file with those of the figures that it states; each may be there once."""
    lines = path.read_text().splitlines()
    for name, figure in figures.items():
        stated = [at for at, line in enumerate(lines) if line.lstrip().startswith(f"{name}: ")]
        if not stated and path.name != _FILES["production"]:
            continue  # as in production
        if len(stated) != 1:
            raise SystemExit(f"{path} states {name} {len(stated)} times, not once")
        before, _, _ = lines[stated[0]].partition(name)
        lines[stated[0]] = f"{before}{name}: {figure}"
    return "\n".join(lines) + "\n"
