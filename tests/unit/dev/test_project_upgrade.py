"""Releases merged into a project of its own name: no edit is lost, and conflicts are listed.

The releases are synthetic: the tree of this checkout, with a few hundred lines changed in each.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from twelvefold_dev.project import releases
from twelvefold_dev.project.git import Repository
from twelvefold_dev.project.naming import Naming
from twelvefold_dev.project.releases import ProjectError

ROOT = Path(__file__).parents[3]
COMMAND = Path(sys.executable).with_name("twelvefold")
ACME = Naming.create("acme")
# Files that the project edits, in every part of the tree; most of them carry the name.
EDITED = [
    ".ci/deploy",
    ".github/CODEOWNERS",
    ".github/CONTRIBUTING.md",
    "Makefile",
    "README.md",
    "charts/api/values.yaml",
    "charts/common/templates/_init.tpl",
    "charts/users/values.yaml",
    "charts/worker/values.yaml",
    "docs/guides/deploy.md",
    "docs/tutorial/first-hour.md",
    "istio/mesh/values.yaml",
    "libs/twelvefold/src/twelvefold/errors.py",
    "libs/twelvefold/src/twelvefold/observability/metrics.py",
    "pyproject.toml",
    "services/Dockerfile",
    "services/api/src/api/app.py",
    "services/users/src/users/settings.py",
    "services/worker/src/worker/app.py",
    "tests/charts/invariants/registry.py",
]
EDIT = "# edited by the project"

pytestmark = [
    pytest.mark.skipif(shutil.which("git") is None, reason="needs git"),
    pytest.mark.timeout(300),
]


@dataclass(frozen=True, slots=True)
class Tree:
    """A repository that a test writes to."""

    root: Path

    @property
    def repository(self) -> Repository:
        return Repository(self.root)

    def git(self, *arguments: str) -> str:
        return self.repository.run(*arguments)

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def append(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((file.read_text() if file.exists() else "") + text)

    def prepend(self, path: str, text: str) -> None:
        file = self.root / path
        file.write_text(text + file.read_text())

    def commit(self, message: str, tag: str | None = None) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        if tag:
            self.git("tag", tag)
        return self.repository.resolve("HEAD")


def create(root: Path) -> Tree:
    root.mkdir(parents=True)
    tree = Tree(root)
    tree.git("init", "--quiet", "--initial-branch", "main")
    configure(tree)
    return tree


def configure(tree: Tree) -> None:
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.com"), ("gc.auto", "0")):
        tree.git("config", key, value)


def release(suite: Tree, number: int) -> str:
    """Commit the next release: edited, new, moved and deleted files, with the name in them."""
    listed = suite.git("ls-files", "charts", "docs", "libs", "services", "istio").splitlines()
    text = [path for path in listed if path.endswith((".py", ".md", ".yaml", ".tpl"))]
    text = [path for path in text if path not in EDITED and "/_new" not in path]
    for path in text[number::7]:
        suite.append(path, f"# release {number} of Twelvefold: ghcr.io/twelvefold/api:{number}\n")
    for path in EDITED[number::3]:
        suite.prepend(path, f"# release {number}, namespace: twelvefold\n")
    suite.append(f"charts/common/templates/_new{number}.tpl", "image: ghcr.io/twelvefold/api\n")
    if (suite.root / f"docs/moved{number - 1}.md").exists():
        suite.git("mv", f"docs/moved{number - 1}.md", f"docs/moved{number}.md")
    suite.append(f"docs/moved{number}.md", "Twelvefold\n" * 20)
    return suite.commit(f"Release {number}", f"2026.12.0{number}-000000{number}")


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Tree:
    """The suite at its first release, the tree of this checkout."""
    suite = create(tmp_path_factory.mktemp("suite") / "twelvefold")
    for path in Repository(ROOT).run("ls-files").splitlines():
        source = ROOT / path
        if source.is_file() and not source.is_symlink():
            (suite.root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, suite.root / path)
    suite.commit("Release 1", "2026.12.01-0000001")
    return suite


@pytest.fixture
def suite(first, tmp_path) -> Tree:
    shutil.copytree(first.root, tmp_path / "twelvefold")
    return Tree(tmp_path / "twelvefold")


def clone(suite: Tree, root: Path) -> Tree:
    suite.git("clone", "--quiet", str(suite.root), str(root))
    project = Tree(root)
    configure(project)
    return project


def test_three_releases_merge_into_a_renamed_project_with_edits_in_twenty_files(
    suite, tmp_path
) -> None:
    project = clone(suite, tmp_path / "acme")
    assert releases.rename(project.repository, ACME, None) > 50
    for path in EDITED:
        project.append(path, f"\n{EDIT}: {path}\n")
    project.append("services/orders/notes.md", "the project's own file\n")
    project.commit("Edit")

    for number in (2, 3, 4):
        released = release(suite, number)
        merge = releases.upgrade(project.repository, str(suite.root), None, None)
        assert (merge.commit, merge.conflicts) == (released, ())
        assert merge.changed > 50

    assert len(EDITED) == 20
    assert [path for path in EDITED if f"{EDIT}: {path}" not in project.read(path)] == []
    # What differs from the last release under the project's name are the edits, and nothing else.
    recorded = releases.find_recorded(project.repository)
    assert recorded is not None
    assert recorded.naming == ACME
    differing = project.git("diff", "--name-only", recorded.commit, "HEAD").splitlines()
    assert sorted(differing) == sorted([*EDITED, "services/orders/notes.md"])
    # Each release is there, under the name.
    assert "release 3, namespace: acme" in project.read("charts/common/templates/_init.tpl")
    for number in (2, 3, 4):
        assert project.read(f"charts/common/templates/_new{number}.tpl") == (
            "image: ghcr.io/acme/api\n"
        )
    assert project.read("docs/moved4.md").startswith("Acme\n")
    assert not (project.root / "docs/moved3.md").exists()
    assert project.repository.try_run("grep", "-q", "ghcr.io/twelvefold", "--", "charts")[1] == 1
    # The same release again is no change.
    assert releases.upgrade(project.repository, str(suite.root), None, None).commit is None


def test_conflicts_are_listed_and_an_abort_restores_the_project(suite, tmp_path) -> None:
    project = clone(suite, tmp_path / "acme")
    releases.rename(project.repository, ACME, None)
    project.prepend("README.md", "# The project's title\n")
    project.append("charts/api/values.yaml", "# kept\n")
    project.git("rm", "--quiet", "docs/glossary.md")
    before = project.commit("Edit")
    suite.prepend("README.md", "# The suite's title\n")
    suite.append("docs/glossary.md", "One more term.\n")
    suite.append("docs/guides/api.md", "One more sentence on Twelvefold.\n")
    suite.commit("Release 2", "2026.12.02-0000002")

    done = subprocess.run(  # noqa: S603  (our own command)
        [COMMAND, "upgrade", str(suite.root)],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        "  README.md: both changed it",
        "  docs/glossary.md: this project deleted it, the release changed it",
    ]
    assert "2 conflicts with release 2026.12.02-0000002" in done.stderr
    assert {"# The project's title", "# The suite's title"} <= set(
        project.read("README.md").splitlines()
    )
    # A second upgrade waits for the decision, and an abort loses nothing.
    with pytest.raises(ProjectError, match="a merge is in progress"):
        releases.upgrade(project.repository, str(suite.root), None, None)
    project.git("merge", "--abort")
    assert project.repository.resolve("HEAD") == before
    assert project.git("status", "--porcelain") == ""


def test_a_decided_conflict_does_not_come_again(suite, tmp_path) -> None:
    project = clone(suite, tmp_path / "acme")
    releases.rename(project.repository, ACME, None)
    project.prepend("README.md", "# The project's title\n")
    project.commit("Edit")
    suite.prepend("README.md", "# The suite's title\n")
    suite.commit("Release 2", "2026.12.02-0000002")
    merge = releases.upgrade(project.repository, str(suite.root), None, None)
    assert [path for path, _ in merge.conflicts] == ["README.md"]
    project.git("checkout", "--ours", "--", "README.md")
    project.commit("Decide")

    release(suite, 3)
    assert releases.upgrade(project.repository, str(suite.root), None, None).conflicts == ()
    assert project.read("README.md").splitlines()[0].endswith("title")


def test_uncommitted_edits_stop_an_upgrade(suite, tmp_path) -> None:
    project = clone(suite, tmp_path / "acme")
    project.append("README.md", "an edit\n")
    with pytest.raises(ProjectError, match=r"commit your edits first: README\.md"):
        releases.upgrade(project.repository, str(suite.root), None, None)
    assert project.read("README.md").endswith("an edit\n")


def test_a_file_that_is_not_committed_is_not_overwritten(suite, tmp_path) -> None:
    project = clone(suite, tmp_path / "acme")
    project.append("docs/new.md", "mine\n")
    suite.append("docs/new.md", "theirs\n")
    suite.commit("Release 2")
    with pytest.raises(ProjectError, match="could not merge"):
        releases.upgrade(project.repository, str(suite.root), "main", None)
    assert project.read("docs/new.md") == "mine\n"


def test_a_project_without_a_name_of_its_own_merges_by_its_history(suite, tmp_path) -> None:
    project = clone(suite, tmp_path / "plain")
    project.append("README.md", EDIT)
    project.commit("Edit")
    released = release(suite, 2)
    assert releases.upgrade(project.repository, str(suite.root), None, None).commit == released
    # The name may also come later.
    assert releases.rename(project.repository, ACME, None) > 50
    release(suite, 3)
    assert releases.upgrade(project.repository, str(suite.root), None, None).conflicts == ()
    assert project.read("README.md").endswith(EDIT)
    assert "ghcr.io/acme" in project.read("charts/common/templates/_new3.tpl")


def test_a_copy_without_history_names_its_release_once(suite, tmp_path) -> None:
    project = create(tmp_path / "copy")
    shutil.copytree(
        suite.root, project.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git")
    )
    project.append("README.md", EDIT)
    project.commit("Start")
    release(suite, 2)
    with pytest.raises(ProjectError, match="records no release"):
        releases.upgrade(project.repository, str(suite.root), None, None)
    merge = releases.upgrade(project.repository, str(suite.root), None, "2026.12.01-0000001")
    assert (merge.commit is not None, merge.conflicts) == (True, ())
    release(suite, 3)
    assert releases.upgrade(project.repository, str(suite.root), None, None).conflicts == ()
    assert project.read("README.md").endswith(EDIT)


def test_a_name_given_to_edited_code_asks_for_the_release_before_it_merges(suite, tmp_path) -> None:
    project = clone(suite, tmp_path / "acme")
    project.append("README.md", EDIT)
    project.commit("Edit")
    # The present commit is taken for a release, which it is not.
    releases.rename(project.repository, ACME, None)
    release(suite, 2)
    with pytest.raises(ProjectError, match="which is no release of"):
        releases.upgrade(project.repository, str(suite.root), None, None)
    merge = releases.upgrade(project.repository, str(suite.root), None, "2026.12.01-0000001")
    assert merge.conflicts == ()
    assert project.read("README.md").endswith(EDIT)


def test_a_project_is_renamed_once(suite, tmp_path) -> None:
    project = clone(suite, tmp_path / "acme")
    releases.rename(project.repository, ACME, None)
    with pytest.raises(ProjectError, match="has the name acme already"):
        releases.rename(project.repository, Naming.create("other"), None)
