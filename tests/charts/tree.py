"""The folders of the charts, and what each depends on."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def libraries(chart: Path) -> list[Path]:
    """The folders of the library charts on which a chart depends."""
    declared = yaml.safe_load((chart / "Chart.yaml").read_text()).get("dependencies", [])
    return [
        (chart / dependency["repository"].removeprefix("file://")).resolve()
        for dependency in declared
    ]


def copied(destination: Path) -> Path:
    """A copy of all charts with links to their libraries, for planting a fault in.

    A link is what `helm dependency build` packages, so that a fault in a library shows everywhere.
    """
    for folder in ("charts", "istio"):
        shutil.copytree(ROOT / folder, destination / folder, ignore=_built)
    for chart in destination.glob("*/*/Chart.yaml"):
        for library in libraries(chart.parent):
            link = chart.parent / "charts" / library.name
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(library)
    return destination


def _built(folder: str, names: list[str]) -> list[str]:
    """What `helm dependency build` has left in a chart of the checkout."""
    return ["charts"] if "Chart.yaml" in names and "charts" in names else []
