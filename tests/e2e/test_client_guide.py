"""The code of docs/guides/clients.md does what it says, in curl, Python and TypeScript."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/guides/clients.md"
TIMEOUT = 100  # seconds
pytestmark = pytest.mark.timeout(300)  # with the build of the client


def blocks(language: str) -> str:
    """The code of the guide in one language, as a reader pastes it."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return "\n".join(found)


def run(url: str, *command: str, text: str) -> str:
    done = subprocess.run(  # noqa: S603  (our own guide)
        command,
        input=text,
        env={**os.environ, "API": url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def curl_output(suite) -> str:
    """The output of the commands, one of which writes the picture that the others upload."""
    if not all(map(shutil.which, ("bash", "curl", "python3"))):
        pytest.skip("the guide uses curl")
    return run(suite.url, "bash", "-euo", "pipefail", text=blocks("sh"))


def test_every_command_succeeds(curl_output):
    assert '"reason":"finished"' in curl_output.replace(": ", ":")
    assert "Ada King" in curl_output


def test_the_python_code_does_the_same(suite, curl_output):
    output = run(suite.url, sys.executable, "-", text=blocks("python"))
    assert "succeeded 100" in output
    assert "/problems/not-found" in output


def test_the_typescript_code_compiles_strictly_and_does_the_same(
    suite, curl_output, run_typescript
):
    code = blocks("ts")
    imports = "\n".join(re.findall(r"^import .*$", code, re.MULTILINE))
    rest = re.sub(r"^import .*$", "", code, flags=re.MULTILINE)
    output = run_typescript("guide", f"{imports}\n{rest}", API=suite.url)
    assert "succeeded 100" in output
    assert "/problems/not-found" in output
