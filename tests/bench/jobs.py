"""What a durable job costs: the suite's queue beside four others, in one run, by turns.

    make bench-jobs ARGS="--rounds 5 --only twelvefold pgqueuer"

Throughput of no-op jobs from a backlog, and while eight producers commit one after the other; what
an idle worker takes from the call to the first line of the handler. The worker has one core; the
producers, PostgreSQL (fsync on) and Redis share the other. The CPU time is that of a job from a
backlog, without its insertion: of the worker, and of both servers.
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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import uvloop
from tests.bench import frame
from tests.bench.job_queues import NAMES, load
from tests.bench.job_queues.base import PRODUCERS, Add, JobQueueSystem, Servers
from tests.bench.job_queues.twelvefold_system import PASSWORD
from tests.tables import table

from twelvefold_dev.servers.postgres import PostgresServer
from twelvefold_dev.servers.redis import RedisServer
from twelvefold_dev.system.ports import PortPicker

WORKER = Path(__file__).with_name("jobs_worker.py")
BATCH = 100  # jobs in one commit, or one pipeline, of a backlog
TIMEOUT = 120.0  # seconds for anything
COLUMNS = (
    "queue",
    "jobs/s, backlog",
    "jobs/s, being committed",
    "start p50 ms",
    "p99 ms",
    "worker CPU µs/job",
    "servers CPU µs/job",
    "bulk insert, jobs/s",
)


@dataclass
class Worker:
    """One running worker, and when its jobs have begun (monotonic nanoseconds)."""

    pid: int
    begun: asyncio.Queue[int] = field(default_factory=asyncio.Queue)

    async def after(self, jobs: int) -> int:
        """Return when the last of so many jobs began."""
        last = 0
        async with asyncio.timeout(TIMEOUT):
            for _ in range(jobs):
                last = await self.begun.get()
        return last


@dataclass
class Figures:
    """What was measured of one queue, one value for each round (of latency, for each sample)."""

    backlog: list[float] = field(default_factory=list)  # jobs a second
    stream: list[float] = field(default_factory=list)
    insertion: list[float] = field(default_factory=list)
    worker_cpu: list[float] = field(default_factory=list)  # microseconds a job
    server_cpu: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)  # milliseconds

    def row(self, title: str) -> list[str]:
        cuts = statistics.quantiles(self.latencies, n=100)
        return [
            title,
            f"{statistics.median(self.backlog):.0f}",
            f"{statistics.median(self.stream):.0f}",
            f"{cuts[49]:.1f}",
            f"{cuts[98]:.1f}",
            f"{statistics.median(self.worker_cpu):.0f}",
            f"{statistics.median(self.server_cpu):.0f}",
            f"{statistics.median(self.insertion):.0f}",
        ]


@dataclass
class Bench:
    """One queue system on the running servers."""

    name: str
    system: JobQueueSystem
    servers: Servers
    server_pids: tuple[int, ...]
    figures: Figures = field(default_factory=Figures)

    async def run_round(self, jobs: int, samples: int) -> None:
        async with self.system.producing(self.servers) as add:
            await self._measure_backlog(add, jobs)
            await self._measure_stream(add, jobs)
            await self._measure_latency(add, samples)

    async def _measure_backlog(self, add: Add, jobs: int) -> None:
        """Measure jobs from a backlog; the start of the worker does not count."""
        started = time.monotonic()
        for _ in range(jobs // BATCH):
            await add(BATCH)
        self.figures.insertion.append(jobs / (time.monotonic() - started))
        async with self._working() as worker:
            first = await worker.after(1)
            worker_cpu, server_cpu = cpu_seconds(worker.pid), cpu_seconds(*self.server_pids)
            last = await worker.after(jobs - 1)
            worker_cpu = cpu_seconds(worker.pid) - worker_cpu
            server_cpu = cpu_seconds(*self.server_pids) - server_cpu
        self.figures.backlog.append((jobs - 1) / (last - first) * 1e9)
        self.figures.worker_cpu.append(worker_cpu / jobs * 1e6)
        self.figures.server_cpu.append(server_cpu / jobs * 1e6)

    async def _measure_stream(self, add: Add, jobs: int) -> None:
        """Measure jobs while eight producers commit one after the other."""
        left = iter(range(jobs))

        async def produce() -> None:
            for _ in left:
                await add(1)

        async with self._working() as worker:
            await add(1)
            await worker.after(1)
            began = time.monotonic_ns()
            await asyncio.gather(*(produce() for _ in range(PRODUCERS)))
            last = await worker.after(jobs)
        self.figures.stream.append(jobs / (last - began) * 1e9)

    async def _measure_latency(self, add: Add, samples: int) -> None:
        """Measure the time from the call to the start, one job at a time."""
        async with self._working() as worker:
            await add(1)
            await worker.after(1)
            found = []
            for _ in range(samples):
                await asyncio.sleep(random.uniform(0.02, 0.1))  # noqa: S311 (no rhythm)
                called = time.monotonic_ns()
                await add(1)
                found.append((await worker.after(1) - called) / 1e6)
        if min(found) <= 0:
            raise RuntimeError("a job of before was left")
        self.figures.latencies += found

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[Worker]:
        source, sink = os.pipe()
        # Its log goes to the null device, the starts of its jobs to a pipe.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            frame.PINNED,
            str(frame.SERVER_CORE),
            str(WORKER),
            self.name,
            str(sink),
            env=self.servers.environment(),
            stdout=asyncio.subprocess.DEVNULL,
            pass_fds=[sink],
        )
        os.close(sink)
        worker, lines = Worker(process.pid), asyncio.StreamReader()

        async def read() -> None:
            async for line in lines:
                worker.begun.put_nowait(int(line))

        reading = asyncio.create_task(read())
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(source, "rb")
        )
        try:
            yield worker
        finally:
            process.terminate()
            await process.wait()
            reading.cancel()
            transport.close()


def cpu_seconds(*pids: int) -> float:
    """Return the CPU time of processes and their children, also of those that have ended."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        own, parent = int(entry.name), int(fields[1])
        if own in pids:
            ticks += sum(map(int, fields[11:15]))
        elif parent in pids:
            ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[PostgresServer, RedisServer]]:
    ports = PortPicker(str(uuid.uuid4()))
    postgres = PostgresServer(folder / "postgres", port=ports.take(), password=PASSWORD)
    redis = RedisServer(folder / "redis", port=ports.take(), password=PASSWORD)
    await asyncio.gather(postgres.start(), redis.start())
    try:
        yield postgres, redis
    finally:
        await asyncio.gather(postgres.stop(), redis.stop())


async def install(name: str, postgres: PostgresServer, redis: RedisServer) -> Bench:
    """Give the system a database of its own."""
    database = f"bench_{name}"
    connection = await asyncpg.connect(postgres.url)
    await connection.execute(f"CREATE DATABASE {database}")
    if await connection.fetchval("SHOW fsync") != "on":
        raise RuntimeError("fsync is off")
    await connection.close()

    def url_of(role: str) -> str:
        return f"{postgres.url_of(role, PASSWORD).rpartition('/')[0]}/{database}"

    servers = Servers(
        f"{postgres.url.rpartition('/')[0]}/{database}",
        redis.url,
        url_of("api_app"),
        url_of("worker_app"),
    )
    system = load(name)
    await system.install(servers)
    return Bench(name, system, servers, (postgres.pid or 0, redis.pid or 0))


async def main(folder: Path, names: list[str], rounds: int, jobs: int, samples: int) -> int:
    async with serving(folder) as (postgres, redis):
        benches = [await install(name, postgres, redis) for name in names]
        for number in range(1, rounds + 1):
            for bench in benches:
                sys.stderr.write(f"\rround {number} of {rounds}: {bench.name}          ")
                await bench.run_round(jobs, samples)
    rows = [bench.figures.row(bench.system.title) for bench in benches]
    sys.stdout.write(f"\n{frame.machine()}\n\n{table(COLUMNS, rows)}\n")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2000, help="a round")
    parser.add_argument("--samples", type=int, default=100, help="of latency, a round")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="queues")
    options = parser.parse_args()
    frame.keep_to_load_core()
    with tempfile.TemporaryDirectory(prefix="twelvefold-bench-") as temporary:
        Path(temporary).chmod(0o755)  # under root PostgreSQL's own user has to enter it
        work = main(
            Path(temporary), list(options.only), options.rounds, options.jobs, options.samples
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            raise SystemExit(runner.run(work))
