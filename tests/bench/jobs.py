"""What durability costs a job: our worker beside bare arq's, in one run, by turns.

    make bench-jobs ARGS="--rounds 5"

Throughput of no-op jobs from a backlog, and while they are being committed; and what an idle
worker takes from `enqueue` to the first line of the handler. Both workers have the settings that
they come with; arq's asks Redis twice a second.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from arq.connections import ArqRedis, create_pool
from arq.connections import RedisSettings as ArqSettings
from pydantic import SecretStr
from tests.bench import frame
from tests.bench.jobs_worker import KIND, QUEUE
from tests.tables import table

from twelvefold.database.database import Database
from twelvefold.database.migrations import bootstrap, upgrade
from twelvefold.database.revisions import installed_migrations
from twelvefold.jobs import JobQueue, RedisWakeupPublisher
from twelvefold.jobs.retention import EmptyPayload
from twelvefold.settings import PostgresSettings, RedisSettings
from twelvefold_dev.servers.postgres import PostgresServer
from twelvefold_dev.servers.redis import RedisServer
from twelvefold_dev.system.ports import PortPicker

WORKER = Path(__file__).with_name("jobs_worker.py")
AT_ONCE = 100  # jobs in one commit, or one pipeline, of a backlog
_WITHIN = 120.0  # seconds for anything


@dataclass
class Worker:
    """One running worker, and when its jobs have begun (monotonic nanoseconds)."""

    begun: asyncio.Queue[int] = field(default_factory=asyncio.Queue)

    async def after(self, jobs: int) -> int:
        """When the last of so many jobs began."""
        last = 0
        async with asyncio.timeout(_WITHIN):
            for _ in range(jobs):
                last = await self.begun.get()
        return last


@asynccontextmanager
async def working(kind: str, environment: dict[str, str]) -> AsyncIterator[Worker]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), kind, env=environment, stdout=asyncio.subprocess.PIPE
    )
    worker = Worker()

    async def read() -> None:
        assert process.stdout
        async for line in process.stdout:
            worker.begun.put_nowait(int(line))

    reading = asyncio.create_task(read())
    try:
        yield worker
    finally:
        process.terminate()
        await process.wait()
        reading.cancel()


@dataclass
class Bench:
    """Both ways to enqueue, and where the workers find their jobs."""

    database: Database
    queue: JobQueue
    arq: ArqRedis
    environment: dict[str, str]

    async def commit(self, count: int = 1) -> None:
        async with self.database.transaction() as transaction:
            for _ in range(count):
                await self.queue.enqueue(transaction, KIND, EmptyPayload(), queue=QUEUE)

    async def push(self, count: int = 1) -> None:
        await asyncio.gather(*(self.arq.enqueue_job(KIND) for _ in range(count)))

    async def backlog(self, kind: str, jobs: int) -> float:
        """Jobs a second out of a backlog; the start of the worker does not count."""
        add = self.commit if kind == "durable" else self.push
        for _ in range(jobs // AT_ONCE):
            await add(AT_ONCE)
        async with working(kind, self.environment) as worker:
            first = await worker.after(1)
            last = await worker.after(jobs - 1)
        return (jobs - 1) / (last - first) * 1e9

    async def stream(self, kind: str, jobs: int) -> float:
        """Jobs a second while eight producers add one after the other."""
        add = self.commit if kind == "durable" else self.push
        left = iter(range(jobs))

        async def produce() -> None:
            for _ in left:
                await add()

        async with working(kind, self.environment) as worker:
            await add()
            await worker.after(1)
            began = time.monotonic_ns()
            await asyncio.gather(*(produce() for _ in range(8)))
            last = await worker.after(jobs)
        return jobs / (last - began) * 1e9

    async def idle(self, kind: str, jobs: int) -> list[float]:
        """Milliseconds from the call to the start, one job at a time."""
        add: Callable[[], Awaitable[None]] = self.commit if kind == "durable" else self.push
        async with working(kind, self.environment) as worker:
            await add()
            await worker.after(1)
            found = []
            for _ in range(jobs):
                await asyncio.sleep(random.uniform(0.02, 0.1))  # noqa: S311 (no rhythm)
                called = time.monotonic_ns()
                await add()
                found.append((await worker.after(1) - called) / 1e6)
        assert min(found) > 0, "a job of before was left"
        return found


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Bench]:
    ports = PortPicker(str(uuid.uuid4()))
    postgres = PostgresServer(folder / "postgres", port=ports.take(), password="bench")
    redis = RedisServer(folder / "redis", port=ports.take(), password="bench")
    await asyncio.gather(postgres.start(), redis.start())
    try:
        found = installed_migrations()
        passwords = {role: "bench" for one in found for role in (one.owner_role, one.app_role)}
        await bootstrap(postgres.url, found, passwords)
        for one in found:
            await upgrade(one, postgres.url_of(one.owner_role, "bench"))
        environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": postgres.url_of("worker_app", "bench"),
            "REDIS_URL": redis.url,
        }
        producer = PostgresSettings(
            environment="testing", database_url=SecretStr(postgres.url_of("api_app", "bench"))
        )
        database = Database(producer, application_name="bench-producer")
        wakeups = RedisWakeupPublisher(
            RedisSettings(environment="testing", redis_url=SecretStr(redis.url))
        )
        arq = await create_pool(ArqSettings.from_dsn(redis.url))
        async with wakeups.running():
            yield Bench(database, JobQueue(database, wakeups), arq, environment)
        await arq.aclose()
        await database.aclose()
    finally:
        await asyncio.gather(postgres.stop(), redis.stop())


async def main(folder: Path, rounds: int, jobs: int, samples: int) -> int:
    kinds = ("durable", "arq")
    rates: dict[tuple[str, str], list[float]] = {}
    latencies: dict[str, list[float]] = {kind: [] for kind in kinds}
    async with opened(folder) as bench:
        for number in range(1, rounds + 1):
            for kind in kinds:
                sys.stderr.write(f"\rround {number} of {rounds}: {kind}   ")
                rates.setdefault((kind, "backlog"), []).append(await bench.backlog(kind, jobs))
                rates.setdefault((kind, "stream"), []).append(await bench.stream(kind, jobs))
                latencies[kind] += await bench.idle(kind, samples)
    rows = []
    for kind in kinds:
        cuts = statistics.quantiles(latencies[kind], n=100)
        rows.append(
            (
                {"durable": "durable", "arq": "bare arq"}[kind],
                f"{statistics.median(rates[kind, 'backlog']):.0f}",
                f"{statistics.median(rates[kind, 'stream']):.0f}",
                f"{cuts[49]:.1f}",
                f"{cuts[98]:.1f}",
            )
        )
    heads = ("worker", "jobs/s, backlog", "jobs/s, being committed", "start p50 ms", "p99 ms")
    sys.stdout.write(f"\n{frame.machine()}\n\n{table(heads, rows)}\n")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2000, help="a round")
    parser.add_argument("--samples", type=int, default=100, help="of latency, a round")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="twelvefold-bench-") as temporary:
        Path(temporary).chmod(0o755)  # under root PostgreSQL's own user has to enter it
        work = main(Path(temporary), options.rounds, options.jobs, options.samples)
        raise SystemExit(asyncio.run(work))
