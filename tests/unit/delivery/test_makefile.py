"""How `make` creates the environment, with a stub of Python that installs a stub of uv."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from twelvefold.settings import process_environment

ROOT = Path(__file__).parents[3]
PYTHON = """#!/bin/sh
case "$*" in
  "-c "*) exit "${UNFIT:-0}" ;;
  --version) echo "Python 3.14.0" ;;
  "-m venv "*)
    for last; do :; done
    case "$*" in *--clear*) rm -rf "$last" ;; esac
    mkdir -p "$last/bin"; rm -f "$last/bin/python"; cp "$0" "$last/bin/python" ;;
  "-m pip config get global.cert") echo "$CONFIGURED_BUNDLE" ;;
  "-m pip install "*)  # like pip, it does not look whether the files of a package are there
    test -e .venv/installed || cp "$(dirname "$ORIGIN")/uv" .venv/bin/uv; touch .venv/installed ;;
  *) exit 64 ;;
esac
"""
UV = """#!/bin/sh
echo "$* bundle=$SSL_CERT_FILE" >> uv.log
exit "${UV_FAILS:-0}"
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@dataclass(frozen=True, slots=True)
class Tree:
    """A checkout with the Makefile and no code."""

    root: Path
    stubs: Path

    def make(self, *targets: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = process_environment()
        for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "MAKEFLAGS", "MAKELEVEL"):
            environment.pop(name, None)
        python = self.stubs / "python"
        return subprocess.run(  # noqa: S603  (targets of this file)
            ["make", f"PYTHON={python}", *targets],  # noqa: S607  (whichever make there is)
            cwd=self.root,
            env={**environment, "ORIGIN": str(python), **variables},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def sync(self, **variables: str) -> str:
        done = self.make("sync", **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def calls(self) -> list[str]:
        """The calls of uv."""
        log = self.root / "uv.log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def tree(tmp_path) -> Tree:
    root, stubs = tmp_path / "checkout", tmp_path / "stubs"
    (root / ".ci").mkdir(parents=True)
    stubs.mkdir()
    for name in ("Makefile", ".ci/delivery.mk", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, root / name)
    for name, text in (("python", PYTHON), ("uv", UV)):
        (stubs / name).write_text(text)
        (stubs / name).chmod(0o755)
    return Tree(root, stubs)


def test_a_second_run_installs_nothing(tree) -> None:
    assert "Creating .venv" in tree.sync()
    assert tree.sync() == "make: Nothing to be done for 'sync'.\n"
    assert len(tree.calls) == 1


def test_a_missing_uv_is_installed_again(tree) -> None:
    tree.sync()
    (tree.root / ".venv/bin/uv").unlink()
    assert "Creating .venv" in tree.sync()
    assert len(tree.calls) == 2


def test_an_empty_uv_of_an_interrupted_installation_is_replaced(tree) -> None:
    tree.sync()
    (tree.root / ".venv/bin/uv").write_text("")
    assert "Creating .venv" in tree.sync()
    assert len(tree.calls) == 2


def test_an_interrupted_installation_of_packages_starts_over(tree) -> None:
    assert tree.make("sync", UV_FAILS="1").returncode != 0
    tree.sync()
    tree.sync()
    assert [("--reinstall" in call) for call in tree.calls] == [False, True]


def test_a_moved_checkout_gets_a_new_environment(tree) -> None:
    tree.sync()
    moved = Tree(tree.root.rename(tree.root.with_name("moved")), tree.stubs)
    assert "Creating .venv" in moved.sync()


def test_an_environment_without_its_interpreter_is_created_again(tree) -> None:
    tree.sync()
    python = tree.root / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/removed/python3.12")
    assert "Creating .venv" in tree.sync()


def test_a_python_that_does_not_fit_is_answered_in_one_line(tree) -> None:
    done = tree.make("up", UNFIT="1")
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1
    assert "found Python 3.14.0" in done.stderr
    assert "PYTHON=/path/to/python3.12" in done.stderr


def test_the_list_of_targets_needs_no_python(tree) -> None:
    done = tree.make(UNFIT="1")
    assert done.returncode == 0
    assert "make up" in done.stdout or "  up " in done.stdout


@pytest.mark.parametrize("source", ["PIP_CERT", "REQUESTS_CA_BUNDLE", "CONFIGURED_BUNDLE"])
def test_uv_trusts_the_authorities_that_pip_is_configured_with(tree, source) -> None:
    tree.sync(**{source: "/etc/company.pem"})
    assert tree.calls[0].endswith("bundle=/etc/company.pem")


def test_a_bundle_of_the_environment_comes_first(tree) -> None:
    tree.sync(PIP_CERT="/etc/company.pem", SSL_CERT_FILE="/etc/mine.pem")
    assert tree.calls[0].endswith("bundle=/etc/mine.pem")
