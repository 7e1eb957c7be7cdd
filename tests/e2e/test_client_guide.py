"""The code of docs/guides/clients.md does what it says, in curl, Python and TypeScript."""

import re
import shutil
import sys

import pytest
from tests.pages import ROOT, code_of, run_program

GUIDE = ROOT / "docs/guides/clients.md"
pytestmark = pytest.mark.timeout(300)  # with the build of the client


@pytest.fixture(scope="module")
def curl_output(suite) -> str:
    """The output of the commands, one of which writes the picture that the others upload."""
    if not all(map(shutil.which, ("bash", "curl", "python3"))):
        pytest.skip("the guide uses curl")
    return run_program("bash", "-euo", "pipefail", text=code_of(GUIDE, "sh"), API=suite.url)


def test_every_command_succeeds(curl_output):
    assert '"reason":"finished"' in curl_output.replace(": ", ":")
    assert "Ada King" in curl_output


def test_the_python_code_does_the_same(suite, curl_output):
    output = run_program(sys.executable, "-", text=code_of(GUIDE, "python"), API=suite.url)
    assert "succeeded 100" in output
    assert "/problems/not-found" in output


def test_the_typescript_code_compiles_strictly_and_does_the_same(
    suite, curl_output, run_typescript
):
    code = code_of(GUIDE, "ts")
    imports = "\n".join(re.findall(r"^import .*$", code, re.MULTILINE))
    rest = re.sub(r"^import .*$", "", code, flags=re.MULTILINE)
    output = run_typescript("guide", f"{imports}\n{rest}", API=suite.url)
    assert "succeeded 100" in output
    assert "/problems/not-found" in output
