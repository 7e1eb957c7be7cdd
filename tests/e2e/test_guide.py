"""The commands of docs/api.md do what the guide says, pasted as they stand."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from twelvefold.settings import process_environment

GUIDE = Path(__file__).parents[2] / "docs/api.md"
TIMEOUT = 100  # seconds


@pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "python3"))), reason="the guide uses curl"
)
def test_every_command_of_the_guide_succeeds(suite):
    blocks = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],  # noqa: S607  (whichever bash the reader has)
        input="\n".join([*blocks, "cmp <(head -c 4 /tmp/thumbnail.webp) <(printf RIFF)"]),
        env={**process_environment(), "API": suite.url},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert '"reason": "finished"' in done.stdout or '"reason":"finished"' in done.stdout
    assert "Ada King" in done.stdout
