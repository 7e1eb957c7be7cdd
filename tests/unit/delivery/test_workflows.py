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


def test_what_is_signed_was_checked_and_what_is_deployed_was_signed() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/pipeline.yml").read_text())["jobs"]

    assert set(jobs["sign"]["needs"]) == {"ci", "security", "publish", "scan", "cluster"}
    for name, branch in (("staging", "develop"), ("release", "main")):
        assert jobs[name]["needs"] == "sign"
        assert "needs.sign.result == 'success'" in jobs[name]["if"]
        assert f"github.ref == 'refs/heads/{branch}'" in jobs[name]["if"]
    assert jobs["production"]["needs"] == "release"
    assert "needs.release.result == 'success'" in jobs["production"]["if"]


def test_no_job_of_a_pull_request_may_write_to_the_registry_or_sign() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/pipeline.yml").read_text())["jobs"]
    powerful = {
        name
        for name, job in jobs.items()
        if {"packages", "id-token", "contents"}
        & {right for right, level in job["permissions"].items() if level == "write"}
    }
    assert powerful == {"publish", "sign", "staging", "release", "production"}
    for name in powerful - {"production"}:  # which needs the release
        assert re.search(r"event_name == 'push'|github\.ref == 'refs/heads/\w+'", jobs[name]["if"])


def test_secrets_reach_the_deployments_and_the_upload_of_coverage_alone() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/pipeline.yml").read_text())["jobs"]
    assert {name: job["secrets"] for name, job in jobs.items() if "secrets" in job} == {
        "ci": {"CODECOV_TOKEN": "${{ secrets.CODECOV_TOKEN }}"},
        "staging": "inherit",
        "production": "inherit",
    }


def test_each_secret_of_a_called_workflow_is_declared_as_optional(workflow) -> None:
    called = workflow[True].get("workflow_call") or {}
    declared = called.get("secrets", {})
    used = set(re.findall(r"secrets\.([A-Z_]+)", yaml.safe_dump(workflow["jobs"])))
    if "workflow_call" in workflow[True]:
        assert used <= set(declared)
        assert [name for name, secret in declared.items() if secret["required"]] == []


def test_scans_tests_and_signatures_are_of_the_digests_that_were_pushed() -> None:
    (upload,) = [
        step for step in steps(_workflow("publish")) if "upload-artifact@" in step.get("uses", "")
    ]
    assert upload["with"]["path"].startswith("dist/images/")
    for name in ("scan", "cluster-e2e", "sign", "release"):
        downloads = [
            step["with"]["path"]
            for step in steps(_workflow(name))
            if "download-artifact@" in step.get("uses", "")
        ]
        assert downloads == ["dist/images"], name


def test_no_build_of_another_branch_writes_the_cache_of_main() -> None:
    makefile = (ROOT / ".ci/delivery.mk").read_text()
    assert re.findall(r"--cache-to (\S+)", makefile) == ["$(CACHE)-$$CACHE_BRANCH,mode=max"]
    jobs = _workflow("publish")["jobs"]
    assert jobs["image"]["env"]["CACHE_BRANCH"] == "${{ github.ref_name }}"


def test_the_tools_that_build_images_are_fixed_by_digest(workflow) -> None:
    for step in steps(workflow):
        if "setup-buildx-action@" in step.get("uses", ""):
            assert re.search(r"image=\S+:v[\d.]+@sha256:[0-9a-f]{64}$", step["with"]["driver-opts"])
        if "setup-qemu-action@" in step.get("uses", ""):
            assert re.search(r":qemu-v[\d.]+@sha256:[0-9a-f]{64}$", step["with"]["image"])


@pytest.mark.parametrize(
    ("name", "branches"), [("deploy-staging", "main|develop"), ("deploy-production", "main")]
)
def test_nothing_is_deployed_that_the_pipeline_did_not_sign(name, branches) -> None:
    workflow = _workflow(name)
    runs = [step for step in steps(workflow) if "run" in step]
    assert [step["run"].split()[1] for step in runs] == ["deploy-tools", "verify", name]
    assert workflow["jobs"]["deploy"]["env"]["BRANCHES"] == branches


@pytest.mark.parametrize("name", ["deploy-staging", "deploy-production"])
def test_no_step_that_installs_packages_has_the_rights_of_the_cluster(name) -> None:
    for step in steps(_workflow(name)):
        if "KUBECONFIG" in str(step.get("env", "")):
            assert step["run"] == f"make {name}"


def _workflow(name: str) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())
    return found


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
