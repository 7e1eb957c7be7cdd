"""The code that the pages print, and programs that run it as a reader would."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from twelvefold.settings import process_environment

ROOT = Path(__file__).parents[1]


def code_of(page: Path, language: str) -> str:
    """Return the blocks of `page` in one language, one after the other."""
    return blocks_of(page.read_text(), language)


def blocks_of(text: str, language: str) -> str:
    """Return the blocks of a text in one language, one after the other."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert blocks
    return "\n".join(blocks)


def edits_of(text: str) -> list[tuple[str, str, str]]:
    """Return the path, the old and the new lines of each `diff` block that a path precedes."""
    edits = []
    pattern = re.compile(r"^`([\w./-]+)`:\n\n```diff\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    for path, block in pattern.findall(text):
        lines = [line or " " for line in block.splitlines()]  # editors strip the space of context
        old, new = (
            "".join(f"{line[1:]}\n" for line in lines if line[0] in kinds) for kinds in (" -", " +")
        )
        edits.append((path, old, new))
    return edits


def sections_of(page: Path) -> dict[str, str]:
    """Return the text of each section of a page by its heading."""
    parts = re.split(r"^## (.+)\n", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def run_program(
    *command: str, text: str | None = None, cwd: Path = ROOT, timeout: float = 100, **variables: str
) -> str:
    """Return the output of a program that succeeds in `timeout` seconds. `text` is its input."""
    done = subprocess.run(  # noqa: S603  (programs of the tests)
        command,
        input=text,
        env={**process_environment(), **variables},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
