"""The services that a folder with charts deploys.

A service has a chart of its pods, charts/NAME, and one of its routing, istio/NAME. It receives
requests if its container has another port than that of probes and metrics.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from .model import RolloutRefused

_MANAGEMENT = "management"


def find_services(charts: Path) -> list[str]:
    """Return the names of the services, sorted; an empty list where `charts` has none."""
    pods, routing = (
        {path.parent.name for path in charts.glob(f"{kind}/*/Chart.yaml")}
        for kind in ("charts", "istio")
    )
    return sorted(pods & routing)


def receives_requests(charts: Path, service: str) -> bool:
    """Return whether a service receives requests. Raises RolloutRefused for an unreadable chart."""
    path = charts / "charts" / service / "values.yaml"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return bool(set(values.get("ports", ())) - {_MANAGEMENT})
    except (OSError, yaml.YAMLError, AttributeError, TypeError) as error:
        raise RolloutRefused(f"{path}: {str(error).splitlines()[0]}") from None
