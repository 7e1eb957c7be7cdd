"""`twelvefold backing`, as the pods of a development cluster run it."""

from __future__ import annotations

import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aioboto3
import asyncpg
import psutil
import pytest
import redis.asyncio

from twelvefold_dev.servers.mailbox import Mailbox
from twelvefold_dev.servers.object_store import REGION
from twelvefold_dev.system.ports import PortPicker

COMMAND = [str(Path(sys.executable).parent / "twelvefold"), "backing"]
PASSWORD = "a-password-of-this-test"
READY_TIMEOUT = 60


@pytest.fixture(scope="module")
def outside_address() -> str:
    """An address of this machine other than loopback, as another pod would use it."""
    for interface in psutil.net_if_addrs().values():
        for address in interface:
            if address.family == socket.AF_INET and not address.address.startswith("127."):
                return str(address.address)
    pytest.skip("this machine has the loopback address only")


@pytest.fixture
def data() -> Iterator[Path]:
    """A directory that PostgreSQL's system user can enter under root, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory(prefix="twelvefold-backing-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def serving(kind: str, port: int, data: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """Run a server and yield once it is ready; kill it at the end of the block."""
    environment = {
        "PATH": "/usr/bin:/bin:/usr/sbin",
        "ENVIRONMENT": "development",
        "PYTHONUNBUFFERED": "1",
        "BACKING_PORT": str(port),
        "BACKING_DATA": str(data),
        **settings,
    }
    process = subprocess.Popen(  # noqa: S603 (a fixed command)
        [*COMMAND, kind], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line == f"{kind}: ready\n":
                break
        else:
            pytest.fail(f"{kind} ended with {process.wait()}")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def stop(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    return process.returncode


@pytest.fixture
def port() -> int:
    return PortPicker(str(Path.cwd()) + __name__).take()


@pytest.fixture
def password_file(tmp_path) -> str:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    return str(path)


async def test_postgresql_serves_other_pods_and_keeps_its_data_across_an_orderly_stop(
    outside_address, port, data, password_file
) -> None:
    url = f"postgresql://postgres:{PASSWORD}@{outside_address}:{port}/postgres"
    with serving("postgres", port, data, BACKING_PASSWORD_FILE=password_file) as process:
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS number")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(url.replace(PASSWORD, "another"))
        assert stop(process) == 0  # although a client is still connected
    with serving("postgres", port, data, BACKING_PASSWORD_FILE=password_file):
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT number FROM kept") == 42
        await connection.close()


async def test_redis_serves_other_pods_and_keeps_its_data_across_an_orderly_stop(
    outside_address, port, data
) -> None:
    def client() -> redis.asyncio.Redis:
        return redis.asyncio.Redis(host=outside_address, port=port, password=PASSWORD)

    with serving("redis", port, data, BACKING_PASSWORD=PASSWORD) as process:
        async with client() as connected:
            await connected.set("kept", "42")
        assert stop(process) == 0
    with serving("redis", port, data, BACKING_PASSWORD=PASSWORD):
        async with client() as connected:
            assert await connected.get("kept") == b"42"


async def test_s3_serves_other_pods_and_has_its_bucket(outside_address, port, data) -> None:
    account = {"BACKING_S3_ACCESS_KEY_ID": "TESTKEY", "BACKING_S3_SECRET_ACCESS_KEY": PASSWORD}
    with serving("s3", port, data, BACKING_S3_BUCKET="images", **account) as process:
        session = aioboto3.Session(
            aws_access_key_id="TESTKEY", aws_secret_access_key=PASSWORD, region_name=REGION
        )
        async with session.client("s3", endpoint_url=f"http://{outside_address}:{port}") as s3:
            await s3.put_object(Bucket="images", Key="kept", Body=b"42")
            found = await s3.get_object(Bucket="images", Key="kept")
            assert await found["Body"].read() == b"42"
        assert stop(process) == 0


def test_mail_from_other_pods_becomes_files(outside_address, port, data) -> None:
    with serving("mail", port, data) as process:
        with smtplib.SMTP(outside_address, port, timeout=5) as client:
            client.sendmail("a@example.com", ["b@example.com"], "Subject: Caught\r\n\r\nHello")
        assert stop(process) == 0
    assert [mail["Subject"] for mail in Mailbox(data / "mail").messages()] == ["Caught"]


def test_a_server_that_ends_unexpectedly_ends_its_pod_with_an_error(port, data) -> None:
    with serving("redis", port, data, BACKING_PASSWORD=PASSWORD) as process:
        (server,) = psutil.Process(process.pid).children()
        server.kill()
        assert process.wait(timeout=10) == 1


@pytest.fixture
def refusal() -> Callable[..., str]:
    def run(kind: str, **settings: str) -> str:
        result = subprocess.run(  # noqa: S603 (a fixed command)
            [*COMMAND, kind],
            env={"PATH": "/usr/bin:/bin", **settings},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert result.returncode == 2
        assert "Traceback" not in result.stderr
        return result.stderr

    return run


def test_every_missing_or_unsafe_setting_is_named(refusal) -> None:
    output = refusal("redis")
    assert "ENVIRONMENT must be development or testing" in output
    assert "BACKING_PASSWORD is missing" in output
    assert "BACKING_S3_SECRET_ACCESS_KEY" in refusal("s3", ENVIRONMENT="development")


def test_a_password_that_breaks_out_of_a_url_or_a_configuration_is_refused(refusal) -> None:
    settings = {"ENVIRONMENT": "development", "BACKING_PASSWORD": "a\nb@c"}
    assert "must contain only letters, digits and . _ ~ -" in refusal("redis", **settings)
