"""A new service runs without an edit, every list hears of it, and its removal leaves no trace.

In a copy of the tree with an environment of its own. The public service is that of the tutorial
(docs/tutorial/fourth-service.md), whose commands and changes are made as they are printed; an
internal one is created beside it. The tests run in this order.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.service_lists import LISTS, NAME, PRELUDE, ServiceList
from tests.pages import blocks_of, edits_of, sections_of

ROOT = Path(__file__).parents[2]
TUTORIAL = sections_of(ROOT / "docs/tutorial/fourth-service.md")
CREATE, ADD, CHANGE, RUN, CHECK, REMOVE = TUTORIAL
INTERNAL = "ledger"
MAX_FILES = 29
AUTHOR = {
    f"GIT_{who}_{key}": value
    for who in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "test"), ("EMAIL", "test@example.com"))
}
# Charts are rendered by Helm's engine, which only the delivery's tests install.
HAS_HELM = importlib.util.find_spec("helm_python") is not None
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass(frozen=True, slots=True)
class Project:
    """A copy of the tree with a repository and an environment of its own."""

    root: Path

    @property
    def bin(self) -> Path:
        return self.root / ".venv/bin"

    def run(self, command: str, *arguments: str, fails: bool = False) -> str:
        """Return the output of a tool of the copy's environment."""
        environment = {
            **os.environ,
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "UV_PROJECT_ENVIRONMENT": str(self.root / ".venv"),
            **AUTHOR,
        }
        # What `make test` exports would take the place of what the copy's Makefile derives.
        for name in (
            "VIRTUAL_ENV",
            "ARGS",
            "IMAGES",
            "TAG",
            "MAKEFLAGS",
            "MAKELEVEL",
            "MAKEOVERRIDES",
        ):
            environment.pop(name, None)
        path = self.bin / command
        done = subprocess.run(  # noqa: S603  (tools of the copy)
            [path if path.exists() else command, *arguments],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        output = done.stdout + done.stderr
        assert (done.returncode != 0) is fails, f"{command} {arguments}: {output}"
        return output

    def follow(self, heading: str) -> str:
        """Run the commands of a section of the tutorial; return their output."""
        before = time.monotonic()
        commands = blocks_of(TUTORIAL[heading], "sh")
        output = self.run("bash", "-euo", "pipefail", "-c", commands)
        print(f"{heading}: {time.monotonic() - before:.1f} s")  # noqa: T201 (a figure)
        return output

    def change_as_printed(self, heading: str) -> None:
        """Make the changes of a section of the tutorial."""
        for name, old, new in edits_of(TUTORIAL[heading]):
            text = (self.root / name).read_text()
            assert text.count(old) == 1, f"{name} has not once: {old}"
            (self.root / name).write_text(text.replace(old, new))

    def changes(self) -> list[str]:
        return self.run("git", "status", "--porcelain", "--untracked-files=all").splitlines()

    def hears(self, lists: list[ServiceList]) -> dict[str, bool]:
        """Whether each list has the service; one that cannot be read has not."""
        code = PRELUDE + "".join(
            f"\ntry: result = bool({one.read})\nexcept Exception: result = False\n"
            f"print('@', json.dumps([{one.name!r}, result]))"
            for one in lists
        )
        output = self.run("python", "-c", code)
        lines = [line for line in output.splitlines() if line.startswith("@ ")]
        return dict(json.loads(line[2:]) for line in lines)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The copy, committed, before any service was added."""
    root = tmp_path_factory.mktemp("project")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607 (the reader's own git)
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() or (ROOT / name).is_symlink():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name, follow_symlinks=False)
    found = Project(root)
    uv = Path(sys.executable).with_name("uv")
    groups = ("--group", "delivery") if HAS_HELM else ()
    options = ("--frozen", "--quiet", "--all-packages", "--python", sys.executable)
    found.run(str(uv), "sync", *options, *groups)
    (found.bin / "uv").symlink_to(uv)
    (root / ".venv/.synced").write_text(f"{root}\n")  # as `make sync` leaves it
    found.run("git", "init", "--quiet")
    found.run("git", "add", "--all")
    found.run("git", "commit", "--quiet", "--message", "Before")
    return found


@pytest.fixture(scope="module")
def services(project: Project) -> Iterator[Project]:
    """The copy with a public service, with jobs of its own, and an internal one that it calls."""
    output = project.follow(CREATE)
    options = ("--internal", "--table", "ledger_entries", "--caller", NAME)
    output += project.run("twelvefold", "new", "service", INTERNAL, *options)
    assert f"{NAME}: " in output
    assert f"{INTERNAL}: " in output
    yield project
    with contextlib.suppress(AssertionError):
        project.run("twelvefold", "reset", "--yes")


def test_what_is_created_is_few_and_short(services: Project) -> None:
    generated = ("README.md", "values.schema.json", "Chart.lock")
    created = [
        services.root / line[3:]
        for line in services.changes()
        if line.startswith("??") and NAME in line and "docs/api" not in line
    ]
    by_hand = [path for path in created if path.name not in generated]
    assert 15 < len(by_hand) <= MAX_FILES
    assert max(len(path.read_text().splitlines()) for path in by_hand) < 250


@pytest.fixture(scope="module")
def extended(services: Project) -> Project:
    """The copy after further endpoints, a kind of job with mail, and a setting were added."""
    output = services.follow(ADD)
    output += services.run("twelvefold", "new", "endpoint", INTERNAL, "rename", "--write")
    for text in ("GET /api/v1/orders/summary: ", "orders.announce: ", "ORDERS_ANNOUNCES: "):
        assert text in output
    return services


@pytest.fixture(scope="module")
def heard(services: Project) -> dict[str, bool]:
    return services.hears(LISTS)


@pytest.mark.parametrize("one", LISTS, ids=lambda one: one.name)
def test_every_list_hears_of_a_new_service(one: ServiceList, heard: dict[str, bool]) -> None:
    assert heard[one.name], f"{one.name}, in {one.file}, does not have the service"


@pytest.mark.parametrize("one", LISTS, ids=lambda one: one.name)
def test_a_list_that_does_not_hear_of_it_is_noticed(one: ServiceList, services: Project) -> None:
    path = services.root / one.file
    before = path.read_text()
    start = before.index(one.after) if one.after else 0
    assert one.old in before[start:], f"{one.file} no longer holds {one.old!r}"
    path.write_text(before[:start] + before[start:].replace(one.old, one.new, 1))
    try:
        assert services.hears([one]) == {one.name: False}
    finally:
        path.write_text(before)


def test_it_passes_every_static_check(extended: Project) -> None:
    extended.run("ruff", "check", "--quiet", ".")
    extended.run("ruff", "format", "--quiet", "--check", ".")
    extended.run("lint-imports", "--no-logo")
    extended.run("mypy", *(f"services/{name}/src" for name in (NAME, INTERNAL)))
    extended.run("uv", "lock", "--check", "--quiet")
    extended.run("twelvefold", "workspace", "--check")
    extended.run("twelvefold", "reference", "docs/reference", "--check")
    extended.run("twelvefold", "openapi", "docs/api", "--check")
    extended.run("python", "-m", "tests.charts.reference", "--check")
    extended.run("python", "-m", "tests.observability.dashboards", "--check")


@pytest.mark.parametrize("name", [f"{NAME}-internal", f"{INTERNAL}-internal"])
def test_every_operation_is_described_and_its_tags_are(services: Project, name: str) -> None:
    """What the rules of `make contract-lint` ask for, which needs Node."""
    document = json.loads((services.root / f"docs/api/{name}.json").read_text())
    tags = {one["name"] for one in document["tags"]}
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation.get("description"), operation["operationId"]
            assert set(operation["tags"]) <= tags


def test_its_own_tests_pass_and_those_of_its_alerts_and_declarations(extended: Project) -> None:
    own = [f"tests/integration/{name}" for name in (NAME, INTERNAL)]
    shared = [
        "tests/observability/test_alerts.py",
        "tests/unit/service",
        "tests/unit/delivery/test_skaffold.py",
        "tests/unit/delivery/test_workflows.py",
        "tests/unit/delivery/test_service_lists.py",
    ]
    extended.run("pytest", "-q", "-n", "0", *own, *shared)


@pytest.mark.skipif(not HAS_HELM, reason="make charts-test installs Helm's engine")
def test_its_charts_keep_every_invariant_and_are_what_the_api_server_takes(
    extended: Project,
) -> None:
    invariants = ("test_invariant", "test_every_fault_has_its_line_whatever_services_there_are")
    selected = [f"tests/charts/test_invariants.py::{name}" for name in invariants]
    extended.run("pytest", "-q", "-n", "0", *selected)
    chosen = f"{NAME} or {INTERNAL}"
    extended.run("pytest", "-q", "-n", "0", "tests/charts/test_rendering.py", "-k", chosen)


def test_an_edit_that_is_not_committed_is_never_removed(services: Project) -> None:
    path = services.root / f"services/{INTERNAL}/src/{INTERNAL}/service.py"
    before = path.read_text()
    path.write_text(before + "\n# My own idea.\n")
    output = services.run("twelvefold", "remove", "service", INTERNAL, fails=True)
    assert f"not committed: services/{INTERNAL}/src/{INTERNAL}/service.py" in output
    assert "Traceback" not in output
    path.write_text(before)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("new", "service", NAME), f"there is a service {NAME} already"),
        (("new", "service", "Shop"), "cannot be a service's name"),
        (("new", "service", "redis"), "is taken by another part"),
        (("new", "service", "json"), "a Python package json is installed"),
        (("new", "service", "shop", "--table", "a-b"), "cannot be a table's name"),
        (("new", "service", "shop", "--internal", "--caller", "nobody"), "no service nobody"),
        (("new", "endpoint", NAME, "list"), "service.py has list already"),
        (("new", "endpoint", "api", "x"), "there is no services/api/src/api/routes.py"),
        (("new", "endpoint", "nothing", "x"), "name one of the installed services"),
        (("new", "job", "users", "remind"), "users runs no jobs"),
        (("new", "job", "worker", "email.send"), "has EMAIL_SEND already"),
        (("new", "setting", NAME, "A_B", "--description", "A"), "either --default or --secret"),
        (("remove", "service", "nothing"), "no service nothing"),
        (("remove", "service", "users"), "calls users: remove the calls first"),
        (("remove", "service", "worker"), "worker runs the jobs of every service"),
        (("remove", "service", NAME), f"{NAME} is a declared caller of {INTERNAL}"),
        (("new", "service", "shop", "--table", NAME), f"of {NAME}: choose another table"),
    ],
)
def test_a_wrong_request_is_refused_in_one_line(
    services: Project, arguments: tuple[str, ...], complaint: str
) -> None:
    before = services.changes()
    output = services.run("twelvefold", *arguments, fails=True)
    assert complaint in output
    assert "Traceback" not in output
    assert services.changes() == before


def test_a_dry_run_lists_the_files_and_changes_nothing(services: Project) -> None:
    before = services.changes()
    output = services.run("twelvefold", "new", "service", "shop", "--dry-run")
    assert "services/shop/src/shop/routes.py" in output
    output = services.run("twelvefold", "new", "endpoint", NAME, "oldest", "--dry-run")
    assert "+async def get_order_oldest(" in output
    description = ("--description", "A probe.")
    output = services.run(
        "twelvefold", "new", "setting", "api", "A_PROBE", "--secret", *description, "--dry-run"
    )
    assert "+    A_PROBE: false" in output
    assert services.changes() == before


def test_changed_as_the_tutorial_prints_it_runs_and_a_request_makes_one_trace(
    extended: Project,
) -> None:
    extended.change_as_printed(CHANGE)
    output = extended.follow(RUN)
    state = extended.root / ".twelvefold"
    endpoints: dict[str, Any] = json.loads((state / "endpoints.json").read_text())
    assert set(endpoints["public"]) == {"api", NAME}
    assert {NAME, INTERNAL} <= set(endpoints["internal"])
    compact = output.replace(": ", ":")
    assert '{"count":1,"latest_at":"' in compact
    assert "Subject:A new order:" in compact
    assert '"confirmed_at":"' in compact
    assert '"type":"/problems/' in compact
    assert '"Twelve eggs"' in output
    for kind in ("orders.confirm", "orders.announce"):
        assert kind in output
    console = json.loads((state / "run/console.json").read_text())
    jobs = {f"job {NAME}.confirm", f"job {NAME}.announce"}
    spans = _await_trace(console, f"POST /api/v1/{NAME}", *jobs)
    # Its own process ran the jobs, from its own queue.
    assert {one["service"] for one in spans if one["name"].startswith("job ")} == {NAME}


def _await_trace(console: dict[str, Any], *names: str) -> list[dict[str, Any]]:
    """Return the spans of the first trace that has spans of all these names."""
    headers = {"X-Console-Token": console["token"]}
    with httpx.Client(base_url=console["url"], headers=headers, timeout=20) as client:
        deadline = time.monotonic() + 30
        while True:
            found = client.get("/api/requests", params={"q": names[0]}).json()["items"]
            for one in found:
                trace = client.get(f"/api/traces/{one['trace_id']}").json()["trace"]
                if set(names) <= {span["name"] for span in trace["spans"]}:
                    return list(trace["spans"])
            assert time.monotonic() < deadline, found
            time.sleep(0.2)


def test_changed_it_passes_the_checks_that_the_tutorial_names(extended: Project) -> None:
    output = extended.follow(CHECK)
    assert " passed" in output


def test_removed_they_leave_no_trace_and_keep_their_data(services: Project) -> None:
    """The last of the tests: the services are gone afterwards."""
    output = services.run("twelvefold", "remove", "service", INTERNAL) + services.follow(REMOVE)
    for name in (NAME, INTERNAL):
        assert f"DROP SCHEMA IF EXISTS {name} CASCADE;" in output
    assert services.run("git", "diff", "--stat", "HEAD~2") == ""
    assert services.changes() == []
