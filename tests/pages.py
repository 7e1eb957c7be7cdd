"""The code that the pages print, and programs that run it as a reader would."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from twelvefold.settings import process_environment

ROOT = Path(__file__).parents[1]


def code_of(page: Path, language: str) -> str:
    """Return the blocks of `page` in one language, one after the other."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    return "\n".join(blocks)


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
