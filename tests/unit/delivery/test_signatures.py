"""The scripts between the build and the cluster: what counts as signed, and who logs in."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

ROOT = Path(__file__).parents[3]
SOURCE = "https://github.com/acme/back.end"
DIGEST = "sha256:" + "a" * 64
# Records how it was called, and answers as the registry or as a signature by IDENTITY would.
DOCKER = f"#!/bin/sh\necho {DIGEST}\n"
COSIGN = """#!{python}
import os, re, sys
pattern = sys.argv[sys.argv.index("--certificate-identity-regexp") + 1]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(sys.argv[1] + " " + sys.argv[-1] + "\\n")
sys.exit(0 if re.search(pattern, os.environ["IDENTITY"]) else 1)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the scripts alone, and stand-ins for the registry and for cosign."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / "bin").mkdir()
    for name in ("verify", "cluster-login", "cluster-token"):
        target = tmp_path / ".ci" / name
        target.write_bytes((ROOT / ".ci" / name).read_bytes())
        target.chmod(0o755)
    for name, text in (("docker", DOCKER), ("cosign", COSIGN.format(python=sys.executable))):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def verify(checkout: Path, identity: str, branches: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - a script of this repository
        [checkout / ".ci/verify", "api"],
        env={
            "PATH": f"{checkout / 'bin'}:{os.environ['PATH']}",
            "REPOSITORY": "registry.example.com/acme",
            "TAG": "2026.11.28-0000000",
            "SOURCE": SOURCE,
            "BRANCHES": branches,
            "IDENTITY": identity,
            "CALLS": str(checkout / "calls"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


WORKFLOW = f"{SOURCE}/.github/workflows/sign.yml@refs/heads/"


@pytest.mark.parametrize(
    ("identity", "branches"),
    [
        (WORKFLOW + "develop", "main"),
        (WORKFLOW + "main-2", "main"),
        (WORKFLOW + "feature", "main|develop"),
        (SOURCE + "/.github/workflows/build.yml@refs/heads/main", "main"),
        ("https://github.com/acme/backXend/.github/workflows/sign.yml@refs/heads/main", "main"),
        ("https://evil.example/?" + WORKFLOW + "main", "main"),
    ],
)
def test_a_signature_of_another_branch_workflow_or_repository_does_not_count(
    checkout, identity, branches
):
    assert verify(checkout, identity, branches).returncode != 0
    assert not (checkout / "dist/verified/api").exists()


@pytest.mark.parametrize("branch", ["main", "develop"])
def test_the_digest_that_was_verified_is_recorded_for_the_deployment(checkout, branch):
    done = verify(checkout, WORKFLOW + branch, "main|develop")
    assert done.returncode == 0, done.stderr
    image = f"registry.example.com/acme/api@{DIGEST}"
    assert (checkout / "calls").read_text().splitlines() == [
        f"verify {image}",
        f"verify-attestation {image}",
    ]
    assert (checkout / "dist/verified/api").read_text() == f"2026.11.28-0000000 {DIGEST}\n"


@pytest.fixture
def issuer() -> Iterator[str]:
    """An endpoint that issues tokens as that of a workflow run does."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": 1_800_000_000}).encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            good = self.headers["Authorization"] == "Bearer secret"
            self.send_response(200 if good and "audience=https%3A%2F%2Fk8s" in self.path else 403)
            self.end_headers()
            self.wfile.write(json.dumps({"value": f"e30.{claims.rstrip('=')}.c2ln"}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/token?version=2"
    server.shutdown()
    server.server_close()


def log_in(checkout: Path, **environment: str) -> dict[str, object] | None:
    subprocess.run(  # noqa: S603 - a script of this repository
        [checkout / ".ci/cluster-login", checkout / "kubeconfig"],
        env={"PATH": os.environ["PATH"], **environment},
        check=True,
        timeout=30,
    )
    file = checkout / "kubeconfig"
    if not file.exists():
        return None
    assert file.stat().st_mode & 0o077 == 0
    found: dict[str, object] = yaml.safe_load(file.read_text())
    return found


def test_a_cluster_that_accepts_the_pipelines_tokens_needs_no_long_lived_secret(checkout, issuer):
    config = log_in(
        checkout, CLUSTER_SERVER="https://k8s.example.com", CLUSTER_CA="pem", KUBECONFIG_CONTENT="x"
    )
    assert config is not None
    plugin = config["users"][0]["user"]["exec"]  # type: ignore[index]  # the shape of a kubeconfig
    done = subprocess.run(  # noqa: S603 - a script of this repository
        [plugin["command"]],
        env={
            "PATH": os.environ["PATH"],
            "ACTIONS_ID_TOKEN_REQUEST_URL": issuer,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "secret",
            **{variable["name"]: variable["value"] for variable in plugin["env"]},
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    credential = json.loads(done.stdout)
    assert credential["status"]["token"].startswith("e30.")
    assert credential["status"]["expirationTimestamp"] == "2027-01-15T08:00:00Z"


def test_a_refused_token_is_one_line_and_a_failure(checkout, issuer):
    done = subprocess.run(  # noqa: S603 - a script of this repository
        [checkout / ".ci/cluster-token"],
        env={
            "PATH": os.environ["PATH"],
            "ACTIONS_ID_TOKEN_REQUEST_URL": issuer,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "wrong",
            "CLUSTER_AUDIENCE": "https://k8s.example.com",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("GitHub issued no token: HTTP Error 403")
    assert done.stderr.count("\n") == 1


def test_without_such_a_cluster_the_long_lived_kubeconfig_counts(checkout):
    assert log_in(checkout, KUBECONFIG_CONTENT="kind: Config") == {"kind": "Config"}


def test_on_a_laptop_nothing_is_written(checkout):
    assert log_in(checkout) is None
