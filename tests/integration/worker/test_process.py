"""`python -m worker` as a process: drained, killed, and started without its servers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
import pytest
from tests.integration.http.server.running_child import Child
from tests.integration.jobs.workbench import until
from tests.proxy import open_proxy

from twelvefold.contracts.accounts import EmailContent
from twelvefold.contracts.jobs import (
    EMAIL_SEND,
    IMAGE_PROCESS,
    EmailSend,
    EmailTemplate,
    ImageProcess,
)
from twelvefold.http.server.lifecycle import EXIT_SETTINGS
from twelvefold.identifiers import new_id


class SlowUsers:
    """Users' internal port for emails. It responds when `let_go` is set."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.let_go = asyncio.Event()
        self.address = f"ada.{uuid4().hex}@example.com"
        self.url = ""

    async def respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"PUT"):  # a ping
            writer.close()
            return
        self.requested.set()
        await self.let_go.wait()
        body = json.dumps({"to": self.address, "name": "Ada", "link": None}).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()


@pytest.fixture
async def users() -> AsyncIterator[SlowUsers]:
    users = SlowUsers()
    server = await asyncio.start_server(users.respond, "127.0.0.1", 0)
    users.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield users
    server.close()


@pytest.fixture
def run_worker(worker_environment, redis_url, tmp_path, users):
    @asynccontextmanager
    async def run(**changes: str) -> AsyncIterator[Child]:
        environment = {
            **{name.upper(): value for name, value in worker_environment.items()},
            "PATH": os.environ["PATH"],
            "REDIS_URL": redis_url,
            "USERS_URL": users.url,
            "MANAGEMENT_PORT": "0",
            "LOG_FORMAT": "json",
            "INTERNAL_TIMEOUT": "60",
            **changes,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "worker", env=environment, stdout=asyncio.subprocess.PIPE
        )
        child = Child(process, tmp_path / "no-steps")
        try:
            yield child
        finally:
            users.let_go.set()
            if process.returncode is None:
                process.kill()
            await child.ended()

    return run


async def enqueue_email(bench):
    payload = EmailSend(template=EmailTemplate.WELCOME, user_id=new_id())
    async with bench.producer.transaction() as transaction:
        return await bench.jobs.enqueue(transaction, EMAIL_SEND, payload)


async def wait_for_request(users: SlowUsers) -> None:
    async with asyncio.timeout(30):
        await users.requested.wait()


async def test_sigterm_waits_for_running_jobs(bench, run_worker, users, mailbox):
    job_id = await enqueue_email(bench)
    async with run_worker() as worker:
        await wait_for_request(users)
        worker.signal(signal.SIGTERM)
        users.let_go.set()
        assert await worker.ended() == 0
    assert (await bench.record(job_id)).status == "succeeded"
    assert len(mailbox.to(users.address)) == 1


async def test_after_the_grace_period_jobs_are_released_without_counting_an_attempt(
    bench, run_worker, users
):
    job_id = await enqueue_email(bench)
    async with run_worker(WORKER_GRACE="0.1") as worker:
        await wait_for_request(users)
        worker.signal(signal.SIGTERM)
        assert await worker.ended() == 0
    row = await bench.row(job_id)
    assert (row["status"], row["attempts"], row["crashes"]) == ("queued", 0, 0)
    assert row["lease_until"] is None


async def test_another_worker_completes_the_job_of_a_killed_one(
    bench, run_worker, users, registry, owners, mailbox
):
    job_id = await enqueue_email(bench)
    async with run_worker() as worker:
        await wait_for_request(users)
        worker.signal(signal.SIGKILL)
        assert await worker.ended() == -signal.SIGKILL
    assert (await bench.record(job_id)).status == "running"
    await bench.expire(job_id)
    assert await bench.maintenance().reap_expired_leases() == 1
    payload = EmailSend.model_validate_json((await bench.row(job_id))["payload"])
    owners.emails[payload.user_id] = EmailContent(to=users.address, name="Ada")
    async with bench.running(registry):
        await bench.becomes("succeeded", job_id)
    record = await bench.record(job_id)
    assert (record.crashes, record.attempts) == (1, 0)
    assert len(mailbox.to(users.address)) == 1


async def test_a_worker_is_not_ready_until_postgresql_is_available(
    bench, run_worker, users, worker_environment
):
    url = worker_environment["database_url"]
    async with open_proxy(url) as proxy:
        await proxy.refuse()
        async with run_worker(DATABASE_URL=proxy.url(url)) as worker, httpx.AsyncClient() as http:
            management = await worker.url("management")
            response = await http.get(f"{management}/readyz")
            assert response.status_code == 503
            assert (await http.get(f"{management}/livez")).status_code == 200
            await proxy.listen()
            await worker.logged("ready")

            async def ready() -> bool:
                return (await http.get(f"{management}/readyz")).status_code == 200

            await until(ready)
            users.let_go.set()
            job_id = await enqueue_email(bench)
            await bench.becomes("succeeded", job_id)

            async def measured() -> bool:
                metrics = (await http.get(f"{management}/metrics")).text
                wanted = (
                    'jobs_finished_total{kind="email.send",status="succeeded"} 1.0',
                    'jobs_due{queue="default"} ',
                    'jobs_queue_age_seconds{queue="default"} ',
                    "jobs_dead ",
                )
                return all(f"\n{line}" in metrics for line in wanted)

            await until(measured)
            worker.signal(signal.SIGTERM)
            assert await worker.ended() == 0


NO_BUCKET = {"S3_BUCKET": "", "S3_ENDPOINT": "", "WORKER_IMAGE_CONCURRENCY": "1"}


async def test_without_images_a_worker_asks_for_no_bucket_and_runs_its_other_kinds(
    bench, run_worker, users, mailbox
):
    users.let_go.set()
    async with bench.producer.transaction() as transaction:
        image = await bench.jobs.enqueue(
            transaction,
            IMAGE_PROCESS,
            ImageProcess(target="image", target_id=new_id(), object_key="uploads/x"),
        )
    email = await enqueue_email(bench)
    async with run_worker(ENABLE_IMAGES="false", **NO_BUCKET) as worker:
        await bench.becomes("succeeded", email)
        management = await worker.url("management")
        async with httpx.AsyncClient() as http:
            checks = (await http.get(f"{management}/readyz")).json()
        assert "s3" not in json.dumps(checks)
        worker.signal(signal.SIGTERM)
        assert await worker.ended() == 0
    assert (await bench.row(image))["claim_no"] == 0


async def test_with_images_a_worker_without_a_bucket_does_not_start(run_worker):
    async with run_worker(**NO_BUCKET) as worker:
        assert await worker.ended() == EXIT_SETTINGS


async def test_the_worker_process_never_imports_pillow():
    code = (
        "import sys, worker.app, worker.job_kinds, worker.imaging.variants\n"
        "import twelvefold.jobs.worker.consumer\n"
        "sys.exit('PIL' in sys.modules)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0
