"""What GitOps controllers and registries get: charts without links, packages with ordered versions.

Flux and Argo CD render a chart of a repository as they fetched it, after `helm dependency build`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import helm_python
import pytest
import yaml
from tests.charts.rendering import (
    DIGEST,
    JWKS,
    NAMESPACE,
    Release,
    Values,
    merged,
    parse,
    read,
    releases,
)
from tests.charts.tree import ROOT, libraries
from tests.suite import SERVICES

VERSION = "2026.11.25-b71ae79"
# Stands in for the programs of the delivery; Helm's engine is the one of the wheel.
_HELM = """\
import sys, helm_python
command = sys.argv[1:]
options = dict(zip(command[2::1], command[3::1]))
if command[:2] == ["dependency", "build"]:
    helm_python.dependency_build(command[-1])
else:
    print(helm_python.package(command[1], destination=options["--destination"],
        version=options["--version"], app_version=options["--app-version"]))
"""


def fetched(destination: Path) -> Path:
    """The charts of the repository as Flux fetches them: tracked files without symbolic links."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "charts", "istio"],  # noqa: S607 (whichever git)
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_symlink() or not source.exists():
            continue
        (destination / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, destination / name)
    return destination


def test_no_chart_holds_a_symbolic_link() -> None:
    names = subprocess.run(
        ["git", "ls-files", "--stage", "charts", "istio"],  # noqa: S607 (whichever git)
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    assert names
    assert [name for name in names if name.startswith("120000")] == []


@pytest.mark.parametrize(
    "release", releases("production"), ids=lambda one: f"{one.chart}-{one.name}"
)
def test_a_fetched_chart_renders_as_the_checkout_does(release: Release, tmp_path: Path) -> None:
    root = fetched(tmp_path)
    helm_python.dependency_build(root / release.chart)

    assert release.render(root) == release.render()


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("*/*/Chart.lock")), ids=lambda path: path.parent.name
)
def test_a_lock_names_the_version_that_its_library_has(path: Path) -> None:
    locked = {
        one["name"]: one["version"] for one in yaml.safe_load(path.read_text())["dependencies"]
    }
    found = {
        library.name: yaml.safe_load((library / "Chart.yaml").read_text())["version"]
        for library in libraries(path.parent)
    }

    assert locked == found


def package(tmp_path: Path, time: str, *, digest: str = DIGEST) -> subprocess.CompletedProcess[str]:
    """Run .ci/charts-package on a copy of the charts. The packages are in tmp_path/dist."""
    programs = tmp_path / "bin"
    if not programs.exists():
        fetched(tmp_path)
        (tmp_path / ".ci").mkdir()
        shutil.copy(ROOT / ".ci/charts-package", tmp_path / ".ci")
        programs.mkdir()
        (tmp_path / "helm.py").write_text(_HELM)
        (programs / "helm").write_text(
            f'#!/bin/sh\nexec {sys.executable} {tmp_path}/helm.py "$@"\n'
        )
        (programs / "docker").write_text(
            f'#!/bin/sh\necho "$*" >> {tmp_path}/asked; echo {digest}\n'
        )
        for program in programs.iterdir():
            program.chmod(0o755)
    return subprocess.run(  # noqa: S603 (this repository's own script)
        [tmp_path / ".ci/charts-package", VERSION, time],
        env={
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "REPOSITORY": "registry.example.com/us",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_later_releases_have_greater_versions_that_no_range_excludes(tmp_path: Path) -> None:
    times = ["2026.0105.000000", "2026.0105.000059", "2026.0105.093015", "2026.1125.000001"]
    for time in times:
        assert package(tmp_path, time).returncode == 0
    found = {
        tuple(map(int, match.groups()))
        for path in (tmp_path / "dist/charts").glob("api-*.tgz")
        if (match := re.fullmatch(r"api-(\d+)\.(\d+)\.(\d+)\.tgz", path.name))
    }

    # As semver.org orders them: number by number, and none is a prerelease.
    assert sorted(found) == [(2026, 105, 0), (2026, 105, 59), (2026, 105, 93015), (2026, 1125, 1)]


def unpacked(tmp_path: Path, kind: str, name: str) -> Path:
    (archive,) = (tmp_path / "dist" / kind).glob(f"{name}-*.tgz")
    folder = tmp_path / "unpacked" / kind
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder / name


def test_a_package_names_its_image_by_digest_and_holds_its_libraries(tmp_path: Path) -> None:
    assert package(tmp_path, "2026.1125.093015").returncode == 0
    site = read(ROOT / "charts/site.example.yaml")

    for service in SERVICES:
        folder = unpacked(tmp_path, "charts", service)
        metadata = yaml.safe_load((folder / "Chart.yaml").read_text())
        assert (metadata["version"], metadata["appVersion"]) == ("2026.1125.93015", VERSION)
        chart = helm_python.Chart.load(folder)
        # Nothing but the site: the chart knows its image.
        objects = parse(chart.render(site, name=service, namespace=NAMESPACE))
        (deployment,) = [one for one in objects if one["kind"] == "Deployment"]
        pod = deployment["spec"]["template"]
        image = f"registry.example.com/us/{service}:{VERSION}@{DIGEST}"
        assert pod["spec"]["containers"][0]["image"] == image
        assert pod["metadata"]["labels"]["app.kubernetes.io/version"] == VERSION
    asked = (tmp_path / "asked").read_text()
    assert f"buildx imagetools inspect registry.example.com/us/api:{VERSION} " in asked


def test_every_deployed_chart_is_packaged_and_renders_from_its_package(tmp_path: Path) -> None:
    assert package(tmp_path, "2026.1125.093015").returncode == 0
    jwks: Values = {"tokens": {"jwks": JWKS}}

    for release in releases("production", second=False):
        kind, name = release.chart.split("/")
        chart = helm_python.Chart.load(unpacked(tmp_path, kind, name))
        values = merged(release.in_force(), jwks if release.chart == "istio/mesh" else {})
        assert parse(chart.render(values, name=release.name, namespace=release.namespace))


def test_a_release_without_images_is_not_packaged(tmp_path: Path) -> None:
    done = package(tmp_path, "2026.1125.093015", digest="none")

    assert done.returncode == 1
    assert done.stderr == f"no digest of registry.example.com/us/api:{VERSION}: none\n"
    assert not list((tmp_path / "dist").rglob("*.tgz"))


@pytest.mark.parametrize("values", [{}, {"image": {"tag": "latest"}}], ids=["none", "latest"])
def test_the_tree_itself_renders_no_image_without_a_version(values: Values) -> None:
    with pytest.raises(helm_python.HelmRenderError, match=r"image\.digest"):
        Release("charts/api", "api", values=values).render()
