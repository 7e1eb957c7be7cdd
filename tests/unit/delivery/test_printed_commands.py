"""The commands that the pages print exist, with the options that they are printed with."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from twelvefold import cli

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *(ROOT / ".github").glob("*.md"), *(ROOT / "docs").rglob("*.md")]
EXEMPT = ("docs/changelog.md", "docs/changes/", ".github/PULL_REQUEST")
# Inline code, and the lines of blocks that a reader types.
CODE = re.compile(r"`([^`\n]+)`|^(?:\$ |    )?((?:make|\S*twelvefold) .+)$", re.MULTILINE)


def printed(program: str) -> Iterator[tuple[str, list[str]]]:
    """Yield page and words of every printed command line of `program`."""
    for page in PAGES:
        name = str(page.relative_to(ROOT))
        if name.startswith(EXEMPT):
            continue
        for match in CODE.finditer(page.read_text(encoding="utf-8")):
            line = (match[1] or match[2]).partition(" #")[0].removeprefix("$ ").rstrip("\\ ")
            try:
                words = shlex.split(line)
            except ValueError:
                continue
            if words and words[0].rpartition("/")[2] == program:
                yield name, words[1:]


TARGETS = set(
    re.findall(
        r"^([a-z-]+):",
        (ROOT / "Makefile").read_text() + (ROOT / ".ci/delivery.mk").read_text(),
        re.MULTILINE,
    )
)
MAKE = [(page, words) for page, words in printed("make") if words and words[0].islower()]
# Its tests are those of a service that it creates; tests/e2e/test_new_service.py runs it.
OF_A_NEW_SERVICE = "docs/tutorial/fourth-service.md"
SELECTIONS = sorted(
    {
        word.removeprefix("ARGS=")
        for page, words in MAKE
        if page != OF_A_NEW_SERVICE
        for word in words
        if words[0] == "test" and word.startswith("ARGS=") and "tests/" in word
    }
)


def test_every_printed_make_target_exists() -> None:
    assert len(MAKE) > 20
    assert [(page, words) for page, words in MAKE if words[0] not in TARGETS] == []


@pytest.fixture(scope="module")
def commands() -> Any:
    cli._add_commands()
    return typer.main.get_command(cli.app)


def test_every_printed_command_exists_with_its_options(commands) -> None:
    found = [(page, words) for page, words in printed("twelvefold") if words]
    assert len(found) > 20
    unknown = []
    for page, words in found:
        command, rest = commands, list(words)
        while (children := getattr(command, "commands", None)) and rest and rest[0] in children:
            command = children[rest.pop(0)]
        options = {name for item in command.params for name in (*item.opts, *item.secondary_opts)}
        used = {word.partition("=")[0] for word in rest if word.startswith("--")} - {"--help"}
        if (getattr(command, "commands", None) and rest) or not used <= options:
            unknown.append((page, " ".join(words)))
    assert unknown == []


@pytest.mark.parametrize("selection", SELECTIONS)
def test_every_printed_selection_of_tests_selects_one(selection) -> None:
    done = subprocess.run(  # noqa: S603  (words of our own pages)
        [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-n",
            "0",
            *shlex.split(selection),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-500:]
