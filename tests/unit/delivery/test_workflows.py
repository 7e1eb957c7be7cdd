"""The workflows: who may do what, by whose code, and nothing that a laptop could not run.

What a linter knows (syntax, injection, rights) is `make check-delivery`'s business.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
OURS = re.compile(r"uses: \$/\.github/workflows/[\w-]+\.yml$")


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def path(request) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def workflow(path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text())
    return found


def steps(workflow: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job.get("steps", [])


def test_every_action_is_pinned_by_commit_and_names_its_version(path) -> None:
    uses = [line.strip() for line in path.read_text().splitlines() if "uses:" in line]
    assert uses
    assert [
        line for line in uses if not PINNED.search(line.lstrip("- ")) and not OURS.search(line)
    ] == []


def test_one_action_has_one_version_everywhere() -> None:
    found: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for action, version in re.findall(r"uses: ([\w./-]+)@(\S+ # \S+)", path.read_text()):
            found.setdefault(action, set()).add(version)
    assert {action: versions for action, versions in found.items() if len(versions) > 1} == {}


def test_nothing_is_permitted_unless_a_job_says_so(workflow) -> None:
    assert workflow["permissions"] == {}
    assert [name for name, job in workflow["jobs"].items() if "permissions" not in job] == []


def test_no_job_runs_without_end_and_no_two_deploy_at_once(path, workflow) -> None:
    assert "concurrency" in workflow
    if path.stem.startswith(("deploy", "release")):
        assert workflow["concurrency"] == {"group": path.stem, "cancel-in-progress": False}
    assert [
        name
        for name, job in workflow["jobs"].items()
        if "uses" not in job and "timeout-minutes" not in job
    ] == []


def test_no_checkout_leaves_the_token_behind(workflow) -> None:
    checkouts = [step for step in steps(workflow) if "checkout@" in step.get("uses", "")]
    assert [step for step in checkouts if step["with"]["persist-credentials"] is not False] == []


def test_every_step_of_work_is_a_make_target_that_exists(workflow) -> None:
    makefiles = [(ROOT / name).read_text() for name in ("Makefile", ".ci/delivery.mk")]
    targets = set(re.findall(r"^([a-z-]+):", "\n".join(makefiles), re.MULTILINE))
    for step in steps(workflow):
        if "run" in step:
            found = re.match(r"make (?:--silent )?([a-z-]+)\b[^\n]*\n?$", step["run"])
            assert found, f"{step['run']!r} is no make target"
            assert found[1] in targets, f"make {found[1]} does not exist"


def test_what_is_deployed_was_checked_before() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/pipeline.yml").read_text())["jobs"]
    checks = {"ci", "security", "build", "cluster"}

    assert set(jobs["staging"]["needs"]) == checks
    assert set(jobs["release"]["needs"]) == checks
    assert jobs["production"]["needs"] == "release"
    assert "refs/heads/develop" in jobs["staging"]["if"]
    assert "refs/heads/main" in jobs["release"]["if"]


@pytest.mark.parametrize("name", ["deploy-staging", "deploy-production"])
def test_nothing_is_deployed_that_the_pipeline_did_not_sign(name) -> None:
    workflow = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())
    runs = [step["run"] for step in steps(workflow) if "run" in step]
    assert [run.split()[1] for run in runs] == ["verify", name]


def test_a_version_is_the_day_and_the_commit() -> None:
    done = subprocess.run(
        ["make", "--silent", "version"],  # noqa: S607 (the reader's own make)
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"version=20\d\d\.\d\d\.\d\d-[0-9a-f]{7}\n", done.stdout)


def test_every_path_with_an_owner_exists() -> None:
    lines = (ROOT / ".github/CODEOWNERS").read_text().splitlines()
    paths = [line.split()[0] for line in lines if line.startswith("/")]
    assert [path for path in paths if not (ROOT / path.lstrip("/")).exists()] == []
