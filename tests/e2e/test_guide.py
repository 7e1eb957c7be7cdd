"""The commands of the README and of docs/guides/api.md do what they say, pasted as they stand."""

import shutil
from pathlib import Path

import pytest
from tests.pages import ROOT, code_of, run_program

README, GUIDE = ROOT / "README.md", ROOT / "docs/guides/api.md"
pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "python3"))), reason="the pages use curl"
)


def paste(page: Path, url: str, *more: str) -> str:
    """Run every `sh` block of `page` in one shell, as a reader would; return its output."""
    text = "\n".join([code_of(page, "sh"), *more])
    return run_program("bash", "-euo", "pipefail", text=text, API=url)


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
