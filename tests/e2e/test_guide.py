"""The commands of the README and of docs/guides/api.md do what they say, pasted as they stand."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from twelvefold.settings import process_environment

ROOT = Path(__file__).parents[2]
README, GUIDE = ROOT / "README.md", ROOT / "docs/guides/api.md"
TIMEOUT = 100  # seconds


pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "python3"))), reason="the pages use curl"
)


def paste(page: Path, url: str, *more: str) -> str:
    """Run every `sh` block of `page` in one shell, as a reader would; return its output."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],  # noqa: S607  (whichever bash the reader has)
        input="\n".join([*blocks, *more]),
        env={**process_environment(), "API": url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_story_of_the_readme_succeeds(suite):
    output = paste(README, suite.url)
    assert '"name":"Ada"' in output.replace(": ", ":")
    assert output.rstrip().endswith("event: end")


def test_every_command_of_the_guide_succeeds(suite):
    output = paste(GUIDE, suite.url, "cmp <(head -c 4 /tmp/thumbnail.webp) <(printf RIFF)").replace(
        ": ", ":"
    )
    assert '"reason":"finished"' in output
    assert "Ada King" in output
