"""Helm 3 and Helm 4 render what the engine of the wheel does, which every other test uses.

Programs: `helm` on the PATH, and what `.ci/helm` and `.ci/helm 4` have built into dist/bin. Without
one of them its test is skipped, and says so.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml
from tests.charts.entrances import COMBINATIONS, installed
from tests.charts.rendering import ENVIRONMENTS, Object, Release, merged, releases
from tests.charts.test_packaging import fetched
from tests.charts.tree import ROOT

pytestmark = pytest.mark.timeout(600)  # a program for each chart, and as often again for libraries
KUBERNETES = ("1.31.0", "1.37.0")  # the oldest and the newest that are tried


@cache
def program(major: int) -> Path:
    """The Helm of that major version. Skips the test where there is none."""
    on_path = shutil.which("helm")
    built = [ROOT / "dist/bin/helm", ROOT / "dist/bin/helm4"]
    for path in [*([Path(on_path)] if on_path else []), *built]:
        if path.exists():
            version = run(path, "version", "--template", "{{.Version}}").lstrip("v")
            if version.startswith(f"{major}."):
                return path
    pytest.skip(f"Helm {major} is not here: .ci/helm {major} builds it")


def run(path: Path, *arguments: str) -> str:
    return subprocess.run(  # noqa: S603 (a tool of the developer)
        [path, *arguments], capture_output=True, text=True, timeout=120, check=True
    ).stdout


@pytest.fixture(scope="module", params=[3, 4])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A program, and a copy of the charts with the libraries that it has packaged."""
    path = program(request.param)
    root = fetched(tmp_path_factory.mktemp(f"helm-{request.param}"))
    for lock in root.glob("*/*/Chart.lock"):
        run(path, "dependency", "build", "--skip-refresh", str(lock.parent))
    return path, root


def rendered(engine: tuple[Path, Path], release: Release, kubernetes: str) -> list[Object]:
    path, root = engine
    values = root / "values.json"
    values.write_text(json.dumps(release.in_force()))
    output = run(
        path,
        *("template", release.name, str(root / release.chart), "--namespace", release.namespace),
        *("--kube-version", kubernetes, "--values", str(values)),
    )
    return [one for one in yaml.safe_load_all(output) if one]


def known(objects: list[Object]) -> list[Object]:
    """In one order, without a certificate that is a new one each time."""
    ordered = sorted(objects, key=lambda one: (one["kind"], one["metadata"]["name"]))
    return [
        {**one, "data": {}} if one.get("type") == "kubernetes.io/tls" else one for one in ordered
    ]


@pytest.mark.parametrize("kubernetes", KUBERNETES)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_both_helms_render_what_the_wheel_does(
    engine: tuple[Path, Path], environment: str, kubernetes: str
) -> None:
    for release in releases(environment):
        found = rendered(engine, release, kubernetes)
        assert known(found) == known(release.render()), release


@pytest.mark.parametrize(("gateway", "mesh"), COMBINATIONS)
def test_both_helms_render_each_gateway_and_mesh_alike(
    engine: tuple[Path, Path], gateway: str, mesh: str
) -> None:
    for release in installed("production", gateway, mesh):
        if release.name in ("api", "api-canary", "mesh", "users-routing", "api-routing"):
            found = rendered(engine, release, KUBERNETES[-1])
            assert known(found) == known(release.render()), release


@pytest.mark.parametrize("controller", ["", "argo-rollouts", "flagger"])
def test_both_helms_render_controllers_and_openshift_alike(
    engine: tuple[Path, Path], controller: str
) -> None:
    for release in releases("production", second=False):
        if not release.chart.endswith(("/api", "/users", "/worker")):
            continue
        values = merged(release.values, {"global": {"rolloutController": controller}})
        if release.chart.startswith("charts/"):
            values = merged(values, {"podSecurityContext": None})
        more = Release(release.chart, release.name, release.namespace, values=values)
        assert known(rendered(engine, more, KUBERNETES[-1])) == known(more.render()), more
