"""Writes what an environment gets, for those who want to read or scan it: `make charts-render`.

`python -m tests.charts.manifests ENVIRONMENT FOLDER` makes a file for each release, hooks and tests
of Helm included, with the example site's values and a digest of nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from .rendering import releases


def write(environment: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.yaml"):
        old.unlink()
    for release in releases(environment):
        path = folder / f"{release.name}.yaml"
        path.write_text(yaml.safe_dump_all(release.render(), sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
