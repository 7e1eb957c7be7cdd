"""The suites that check the laptop's contract check the cluster's, through the gateway."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cluster.cluster import ROOT
from tests.cluster.deployment import HOST, Deployment

# Of e2e what a suite by URL can show; the rest starts suites of its own.
SUITES = {
    "contract": ["tests/contract"],
    "e2e": [f"tests/e2e/test_{name}.py" for name in ("user_story", "guide", "python_client")],
}


def through_gateway(deployment: Deployment, folder: Path) -> dict[str, str]:
    """An environment in which clients find the gateway by its name and trust its certificate."""
    address, port = deployment.gateway
    (folder / ".curlrc").write_text(
        f'resolve = "{HOST}:{port}:{address}"\ncacert = "{deployment.certificate}"\n'
    )
    return {
        **os.environ,
        "CURL_HOME": str(folder),
        "RESOLVE": f"{HOST}={address}",
        "SSL_CERT_FILE": str(deployment.certificate),
        "REQUESTS_CA_BUNDLE": str(deployment.certificate),
    }


def passes(deployment: Deployment, suite: str, folder: Path) -> str:
    """Runs a suite through the gateway; its verdict. Fails with its output."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.cluster.name_resolution",
        *SUITES[suite],
    ]
    done = subprocess.run(  # noqa: S603 (our own suites)
        [*command, f"--base-url={deployment.url}", "-n", "0", "-q", "--color=no"],
        cwd=ROOT,
        env=through_gateway(deployment, folder),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    verdict = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"[-8000:]
    passed = re.search(r"(\d+) passed", verdict)
    assert passed is not None
    assert int(passed[1]) > 3
    return verdict


def test_every_suite_is_there() -> None:
    assert [path for paths in SUITES.values() for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("suite", SUITES)
def test_suite_passes_through_the_gateway(
    suite: str, deployment: Deployment, tmp_path: Path, note: Callable[[str], None]
) -> None:
    note(f"suite {suite:<9}{passes(deployment, suite, tmp_path)}")
