"""The suite on a real cluster, installed once for all tests here.

    make cluster-test                 # on whatever KUBECONFIG names; REPOSITORY and TAG name images
    CLUSTER_TEST_KEEP=1 make …        # leaves it installed, and upgrades it at the next run
    CLUSTER_TEST_MESH=none make cluster-test ARGS="-k gateway_api"   # without a mesh

Skipped, with the reason, where there is no cluster.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.cluster.clients import ClientPool
from tests.cluster.cluster import kubectl, missing, objects, until
from tests.cluster.deployment import BACKING, HOST, NAMESPACE, SYSTEM, Deployment
from tests.cluster.gateway_api import missing_gateway_api
from tests.cluster.name_resolution import lead

_HERE = Path(__file__).parent
_TIMEOUT = 900  # seconds of one test, with the installation in the first
_NOTES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_NOTES] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.timeout(_TIMEOUT))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    notes = terminalreporter.config.stash[_NOTES]
    if notes:
        terminalreporter.section("what was seen on the cluster")
        for line in notes:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a line for the end of the run."""
    return request.config.stash[_NOTES].append


@pytest.fixture(scope="session")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, note: Callable[[str], None]
) -> Iterator[Deployment]:
    if reason := missing():
        pytest.skip(reason)
    if os.environ.get("CLUSTER_TEST_MESH") == "none" and (reason := missing_gateway_api()):
        pytest.skip(reason)
    began = time.monotonic()
    context = kubectl("config", "current-context").strip()
    note(f"context {context}, namespaces {SYSTEM}, {BACKING}, {NAMESPACE}")
    made = Deployment(tmp_path_factory.mktemp("deployment"))
    until(_is_settled, "what an earlier run removed is gone", timeout=180)
    try:
        made.install()
        note(f"installed in {time.monotonic() - began:.0f} s")
        lead(HOST, made.gateway[0])
        yield made
    finally:
        made.close()
        if not os.environ.get("CLUSTER_TEST_KEEP"):
            made.remove()


def _is_settled() -> bool:
    """Whether none of our namespaces is going away; one that was left is upgraded in place."""
    going = {
        one["metadata"]["name"]
        for one in objects("namespaces", "default")
        if one["status"]["phase"] == "Terminating"
    }
    return not {NAMESPACE, BACKING, SYSTEM} & going


@pytest.fixture(scope="session")
def clients(deployment: Deployment) -> ClientPool:
    """People with accounts, for a load."""
    if shutil.which("vegeta") is None:
        pytest.skip("vegeta is not installed: go install github.com/tsenart/vegeta/v12@latest")
    return ClientPool(deployment)


@pytest.fixture
def client(deployment: Deployment) -> Iterator[httpx.Client]:
    """A client of the gateway over HTTPS, once that answers for us."""
    with httpx.Client(base_url=deployment.url, verify=deployment.tls, timeout=30) as found:
        until(lambda: found.get("/health").status_code == 200, "the gateway leads to api")
        yield found
