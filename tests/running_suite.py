"""A running suite for the contract and e2e tests: one of our own, or any by its URL.

    pytest tests/e2e --base-url https://staging.example.com
    pytest tests/e2e --running-in .

Without a URL `twelvefold up` runs in a checkout of its own (of the installed services, without
sources: an edit beside a test restarts nothing), so that a developer's running suite is neither
used nor disturbed. What only the laptop has (caught mail, management ports) is skipped elsewhere,
with the reason printed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from twelvefold_dev.servers.mailbox import Mailbox

ROOT = Path(__file__).parent.parent
START_TIMEOUT = 90  # seconds, on a machine that runs other tests beside it
STOP_TIMEOUT = 60


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("running suite")
    group.addoption("--base-url", help="Test the suite at this URL instead of one of our own.")
    group.addoption(
        "--running-in", type=Path, help="Test the suite that runs in this checkout, in full."
    )


@dataclass(frozen=True, slots=True)
class Suite:
    """Where a running suite is."""

    url: str
    checkout: Path | None = None
    management: dict[str, str] = field(default_factory=dict)
    endpoints: dict[str, object] = field(default_factory=dict)

    def command(self, *arguments: str, timeout: float = 30) -> str:
        """Output of a `twelvefold` command on this checkout."""
        assert self.checkout is not None
        return _twelvefold(self.checkout, *arguments, timeout=timeout)


def _twelvefold(
    checkout: Path, *arguments: str, timeout: float, environment: Mapping[str, str] | None = None
) -> str:
    command = [str(Path(sys.executable).parent / "twelvefold"), *arguments]
    done = subprocess.run(  # noqa: S603  (our own command)
        command,
        cwd=checkout,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout


def _of(checkout: Path) -> Suite:
    endpoints = json.loads((checkout / ".twelvefold/endpoints.json").read_text())
    return Suite(endpoints["api"], checkout, endpoints["management"], endpoints)


@pytest.fixture(scope="session")
def suite(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Suite]:
    if url := request.config.getoption("--base-url"):
        yield Suite(url.rstrip("/"))
        return
    if running := request.config.getoption("--running-in"):
        yield _of(running.resolve())
        return
    with running_suite(tmp_path_factory.mktemp("checkout")) as found:
        yield found


def new_checkout(root: Path) -> Path:
    """A folder that `twelvefold up` takes for a checkout, without sources but for an empty folder
    that all services share.
    """
    (root / "shared").mkdir(parents=True)
    (root / "pyproject.toml").write_text('[tool.twelvefold]\nshared = ["shared"]\n')
    return root


@contextmanager
def running_suite(checkout: Path, **environment: str) -> Iterator[Suite]:
    """A separate suite in an empty folder, with the variables of `environment`."""
    new_checkout(checkout)
    _twelvefold(checkout, "up", "--detach", timeout=START_TIMEOUT, environment=environment)
    try:
        yield _of(checkout)
    finally:
        _twelvefold(checkout, "reset", "--yes", timeout=STOP_TIMEOUT)


@pytest.fixture
async def client(suite: Suite) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=suite.url, timeout=30) as found:
        yield found


@pytest.fixture
async def another_client(suite: Suite) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=suite.url, timeout=30) as found:
        yield found


@pytest.fixture
def caught_mail(suite: Suite) -> Mailbox:
    if suite.checkout is None:
        pytest.skip("a suite by URL sends its mail where no test can read it")
    return Mailbox(suite.checkout / ".twelvefold/mail")


@pytest.fixture
def metric(suite: Suite) -> Callable[[str, str], Awaitable[float]]:
    """Sums the samples of one metric of one service whose labels include the given ones."""
    if not suite.management:
        pytest.skip("a suite by URL does not show its management ports")

    async def read(service: str, name: str, **labels: str) -> float:
        async with httpx.AsyncClient() as http:
            exposed = (await http.get(f"{suite.management[service]}/metrics")).text
        total = 0.0
        for line in exposed.splitlines():
            found = re.match(rf"{re.escape(name)}(?:{{(.*)}})? (\S+)", line)
            if found and all(
                f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()
            ):
                total += float(found[2])
        return total

    return read
