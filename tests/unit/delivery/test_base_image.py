"""A base image that cannot be pulled is reported before a build, with the profile that helps."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
MODULES: dict[str, Any] = {
    document["metadata"]["name"]: document
    for document in yaml.safe_load_all((ROOT / "skaffold.yaml").read_text())
}
BUILT = [name for name, module in MODULES.items() if "docker" in str(module.get("build"))]


def check(tmp_path: Path, docker: str) -> subprocess.CompletedProcess[str]:
    """Run .ci/base-image with a program docker that does what the script says."""
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\n{docker}\n")
    program.chmod(0o755)
    return subprocess.run(  # noqa: S603 (this repository's own script)
        [ROOT / ".ci/base-image"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_an_image_on_this_machine_or_in_reach_is_enough(tmp_path: Path) -> None:
    assert check(tmp_path, '[ "$1 $2" = "image inspect" ]').returncode == 0
    assert check(tmp_path, '[ "$1 $2 $3" = "buildx imagetools inspect" ]').returncode == 0


def test_an_image_out_of_reach_names_the_profile_and_the_reason(tmp_path: Path) -> None:
    done = check(tmp_path, 'echo "no such host" >&2; exit 1')

    assert done.returncode == 1
    reason, advice = done.stderr.splitlines()
    assert reason == "no such host"
    assert "skaffold run -p own-base" in advice
    assert "BASE_IMAGE=" in advice


@pytest.mark.parametrize("name", BUILT)
def test_every_build_checks_the_base_image_unless_it_has_its_own(name: str) -> None:
    (artifact,) = MODULES[name]["build"]["artifacts"]
    if "custom" in artifact:
        assert '[ -n "${BASE_IMAGE:-}" ] || .ci/base-image' in artifact["custom"]["buildCommand"]
        return
    assert {"command": [".ci/base-image"]} in artifact["hooks"]["before"]
    (own,) = [one for one in MODULES[name]["profiles"] if one["name"] == "own-base"]
    assert {"op": "remove", "path": "/build/artifacts/0/hooks"} in own["patches"]
