"""The embedded servers: readiness, durability, and a stop that leaves nothing running."""

from __future__ import annotations

import asyncio
import os
import signal
import smtplib
import sys
import tempfile
import textwrap
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from pathlib import Path

import aioboto3
import asyncpg
import httpx
import psutil
import pytest
import redis.asyncio

from twelvefold_dev.servers.embedded import EmbeddedServers, ServerCredentials
from twelvefold_dev.servers.mailbox import Mailbox
from twelvefold_dev.servers.object_store import REGION
from twelvefold_dev.supervisor.status import read_health
from twelvefold_dev.system.ports import PortPicker, is_free


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A directory that PostgreSQL's system user can enter under root, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory(prefix="twelvefold-servers-") as name:
        # Longer than the path of a Unix socket can be, as in some checkouts.
        folder = Path(name) / "a-folder-with-a-long-name" / "another-one-whose-name-is-long-too"
        folder.mkdir(parents=True)
        for part in (folder, *folder.parents[:2]):
            part.chmod(0o755)
        yield folder


@pytest.fixture(scope="module")
def durable_servers(folder) -> EmbeddedServers:
    return EmbeddedServers(
        folder / "data", ServerCredentials.generate(), PortPicker(str(uuid.uuid4()))
    )


@pytest.fixture
async def own_servers(durable_servers: EmbeddedServers) -> EmbeddedServers:
    """Servers of this module only, which a test may stop or kill."""
    await durable_servers.start()
    return durable_servers


@pytest.fixture(scope="module", autouse=True)
async def stop_at_the_end(durable_servers) -> AsyncIterator[None]:
    yield
    await durable_servers.stop()


def all_processes(servers: EmbeddedServers) -> list[psutil.Process]:
    processes = []
    for server in servers.all:
        assert server.pid is not None
        process = psutil.Process(server.pid)
        processes += [process, *process.children(recursive=True)]
    return processes


async def all_gone(processes: list[psutil.Process], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while any(process.is_running() and process.status() != "zombie" for process in processes):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


async def test_written_data_survives_an_orderly_restart(own_servers) -> None:
    word = await write_everywhere(own_servers)

    await own_servers.stop()
    assert not any(server.is_alive for server in own_servers.all)
    await own_servers.start()

    await assert_everywhere(own_servers, word)


async def test_written_data_survives_a_kill(own_servers) -> None:
    word = await write_everywhere(own_servers)

    for server in own_servers.all:
        os.kill(server.pid, signal.SIGKILL)
        assert await asyncio.wait_for(server.wait(), 5) == -signal.SIGKILL
    await own_servers.start()

    await assert_everywhere(own_servers, word)
    await assert_everywhere(own_servers, await write_everywhere(own_servers))
    await assert_everywhere(own_servers, word, mails=False)


@pytest.mark.parametrize("position", range(4), ids=["postgres", "redis", "s3", "mail"])
async def test_a_server_that_stands_still_is_silent_although_its_port_is_open(
    own_servers, position
) -> None:
    server = own_servers.all[position]
    assert await read_health(server) == "ok"
    os.kill(server.pid, signal.SIGSTOP)
    try:
        assert await read_health(server) == "silent"
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert await read_health(server) == "ok"


async def test_a_stop_leaves_no_process_and_no_port(own_servers) -> None:
    processes = all_processes(own_servers)
    ports = {
        connection.laddr.port
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert ports

    await own_servers.stop()

    assert await all_gone(processes, seconds=1)
    assert {port for port in ports if not is_free(port)} == set()


async def test_every_listener_is_on_the_loopback_address(own_servers) -> None:
    addresses = {
        connection.laddr.ip
        for process in all_processes(own_servers)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}


async def test_every_server_requires_its_credentials(own_servers) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(own_servers.postgres.url, password="guessed")
    with pytest.raises(redis.exceptions.AuthenticationError):
        await redis.asyncio.Redis(port=own_servers.redis.port).ping()
    async with httpx.AsyncClient() as client:
        response = await client.get(f"{own_servers.object_store.url}/twelvefold")
    assert response.status_code == HTTPStatus.FORBIDDEN


async def test_servers_end_when_the_process_that_started_them_is_killed(folder) -> None:
    code = f"""
        import asyncio, pathlib
        from twelvefold_dev.servers.embedded import EmbeddedServers, ServerCredentials
        from twelvefold_dev.system.ports import PortPicker

        async def main():
            servers = EmbeddedServers(
                pathlib.Path({str(folder / "killed")!r}),
                ServerCredentials.generate(),
                PortPicker({str(uuid.uuid4())!r}),
            )
            await servers.start()
            print(*(server.pid for server in servers.all), flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())
    """
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(code), stdout=asyncio.subprocess.PIPE
    )
    assert starter.stdout
    pids = [int(pid) for pid in (await starter.stdout.readline()).split()]
    processes = [psutil.Process(pid) for pid in pids]
    processes += [child for process in processes for child in process.children(recursive=True)]
    starter.kill()
    await starter.wait()

    assert len(pids) == 4
    assert await all_gone(processes)


async def test_mails_are_numbered_in_the_order_of_their_arrival(own_servers) -> None:
    recipient = f"{uuid.uuid4()}@example.org"
    send_mail(own_servers, "first", recipient)
    send_mail(own_servers, "second", recipient)
    await own_servers.mail.stop()
    await own_servers.mail.start()
    send_mail(own_servers, "third", recipient)

    mails = Mailbox(own_servers.mail.directory).to(recipient)
    assert [mail["Subject"] for mail in mails] == ["first", "second", "third"]


async def write_everywhere(servers: EmbeddedServers) -> str:
    """Write a new random word to each server and return it."""
    word = str(uuid.uuid4())
    postgres = await asyncpg.connect(servers.postgres.url)
    await postgres.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
    await postgres.execute("INSERT INTO kept VALUES ($1)", word)
    await postgres.close()
    async with redis.asyncio.Redis.from_url(servers.redis.url) as client:
        await client.set(word, word)
        await client.execute_command("WAITAOF", 1, 0, 2000)
    async with s3(servers) as client:
        await client.put_object(Bucket="twelvefold", Key=word, Body=word.encode())
    send_mail(servers, word, "ada@example.org")
    return word


async def assert_everywhere(servers: EmbeddedServers, word: str, *, mails: bool = True) -> None:
    postgres = await asyncpg.connect(servers.postgres.url)
    assert await postgres.fetchval("SELECT count(*) FROM kept WHERE word = $1", word) == 1
    await postgres.close()
    async with redis.asyncio.Redis.from_url(servers.redis.url) as client:
        assert await client.get(word) == word.encode()
    async with s3(servers) as client:
        response = await client.get_object(Bucket="twelvefold", Key=word)
        async with response["Body"] as body:
            assert await body.read() == word.encode()
    if mails:
        newest = Mailbox(servers.mail.directory).to("ada@example.org")[-1]
        assert newest["Subject"] == word


def send_mail(servers: EmbeddedServers, subject: str, recipient: str) -> None:
    with smtplib.SMTP("127.0.0.1", servers.mail.port, timeout=5) as client:
        client.sendmail("from@example.org", [recipient], f"Subject: {subject}\r\n\r\nHello\r\n")


def s3(servers: EmbeddedServers):
    return aioboto3.Session().client(
        "s3",
        endpoint_url=servers.object_store.url,
        region_name=REGION,
        aws_access_key_id=servers.object_store.credentials.access_key_id,
        aws_secret_access_key=servers.object_store.credentials.secret_access_key,
    )
