"""The project of docs/guides/libraries.md, in a repository of its own, on the built wheels.

Made by the commands that the page prints. pip takes minutes where other tests run, so uv stands in
for it; FOREIGN_INSTALLER=pip runs the page as it is.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.wheels import build_wheels

from twelvefold.settings import process_environment

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guides/libraries.md").read_text()
FILES = dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
(STORY,) = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
INSTALL, RUN = (
    re.sub(r"^\$ ", "", block, flags=re.MULTILINE)
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
)
VERSION = "2026.11.28"
UV = Path(sys.executable).with_name("uv")
BY_PIP = os.environ.get("FOREIGN_INSTALLER") == "pip"
_IN_PLACE_OF = {
    "python3 -m venv": f"{UV} venv --quiet --python {sys.executable}",
    ".venv/bin/pip install": f"{UV} pip install --quiet --python .venv/bin/python",
}
TIMEOUT = 300  # seconds; a cold cache downloads the servers

pytestmark = pytest.mark.timeout(2 * TIMEOUT)


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with an environment of its own."""

    root: Path

    def run(self, *command: str | Path, **variables: str) -> str:
        environment = process_environment()
        for name in ("VIRTUAL_ENV", "PYTHONPATH", "UV_PROJECT_ENVIRONMENT"):
            environment.pop(name, None)
        done = subprocess.run(  # noqa: S603  (commands of this file and of the page)
            command,
            cwd=self.root,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def twelvefold(self, *arguments: str) -> str:
        return self.run(self.root / ".venv/bin/twelvefold", *arguments)

    def follow(self, commands: str, **variables: str) -> str:
        """Run commands of the page."""
        for printed, stand_in in _IN_PLACE_OF.items() if not BY_PIP else ():
            commands = commands.replace(printed, stand_in)
        return self.run("bash", "-euo", "pipefail", "-c", commands, **variables)


def write_constraints(path: Path) -> Path:
    """Write the versions of our lock file, so that a release of a library changes no test."""
    options = ["--frozen", "--quiet", "--no-hashes", "--no-emit-workspace", "--no-header"]
    done = subprocess.run(  # noqa: S603  (our own uv)
        [str(UV), "export", *options, "--all-packages", "--all-extras", "--no-annotate"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    path.write_text(done.stdout)
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("foreign")
    wheels = build_wheels(folder / "wheels", VERSION)
    constraints = write_constraints(folder / "constraints.txt")
    project = Project(folder / "notes")
    for name, content in FILES.items():
        path = project.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (project.root / "wheels").symlink_to(wheels)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    pinned = {"PIP_CONSTRAINT": str(constraints), "UV_CONSTRAINT": str(constraints)}
    project.follow(INSTALL, VERSION=VERSION, PATH=path, **pinned)
    try:
        project.follow(RUN)
        yield project
    finally:
        project.twelvefold("reset", "--yes")


def test_the_page_prints_every_file() -> None:
    assert set(FILES) == {
        "pyproject.toml",
        "src/notes/app.py",
        "src/notes/migrations/versions/0001_notes.py",
        "src/notes/settings.py",
        "src/notes/worker.py",
    }


def test_the_environment_has_only_the_drivers_of_the_project(project) -> None:
    installed = project.run(UV, "pip", "list", "--python", project.root / ".venv/bin/python")
    assert re.search(rf"^twelvefold +{re.escape(VERSION)}$", installed, re.MULTILINE)
    assert not re.search("^(aioboto3|aiosmtplib|twelvefold-api) ", installed, re.MULTILINE)


def test_a_request_runs_its_job_and_both_are_one_trace(project) -> None:
    endpoints = json.loads((project.root / ".twelvefold/endpoints.json").read_text())
    assert set(endpoints["public"]) == {"notes"}
    output = project.follow(STORY, API=endpoints["public"]["notes"])
    assert '"reminder":"succeeded"' in output

    console, _, token = project.twelvefold("console").strip().partition("/#token=")
    with httpx.Client(base_url=console, headers={"X-Console-Token": token}, timeout=20) as client:
        deadline = time.monotonic() + 20
        while True:
            found = client.get("/api/requests", params={"q": "POST /notes"}).json()["items"]
            if found:
                trace = client.get(f"/api/traces/{found[0]['trace_id']}").json()
                if {"notes", "worker"} <= {span["service"] for span in trace["trace"]["spans"]}:
                    break
            assert time.monotonic() < deadline, found
            time.sleep(0.1)  # the spans arrive by themselves


def test_a_changed_file_is_reloaded(project) -> None:
    def pid() -> int:
        rows = json.loads(project.twelvefold("ps", "--json"))
        return int(next(row["pid"] for row in rows if row["name"] == "notes.1"))

    before = pid()
    (project.root / "src/notes/more.py").write_text("# a change\n")
    deadline = time.monotonic() + 40
    while pid() == before:
        assert time.monotonic() < deadline
        time.sleep(0.1)  # the watcher notices by itself
