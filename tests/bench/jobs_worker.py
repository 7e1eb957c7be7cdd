"""A worker of no-op jobs, durable or bare arq's, that prints when each has begun.

    python tests/bench/jobs_worker.py durable|arq

Both work at the settings that they come with. A line is the monotonic clock in nanoseconds, which
all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from arq.connections import RedisSettings as ArqRedis
from arq.worker import Worker, func
from pydantic import SecretStr

from twelvefold.database.database import Database
from twelvefold.jobs import HandlerRegistry, JobContext, JobKind, RedisWakeupPublisher
from twelvefold.jobs.retention import EmptyPayload
from twelvefold.jobs.worker.consumer import Consumer, ConsumerOptions
from twelvefold.observability.logs import configure_logs
from twelvefold.settings import EnvironmentSettings, PostgresSettings, RedisSettings

KIND = QUEUE = "bench"


def begun() -> None:
    sys.stdout.write(f"{time.monotonic_ns()}\n")


async def terminated() -> None:
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await over.wait()


async def durable() -> None:
    # Its lines are written as by any worker, to the null device.
    settings = EnvironmentSettings(environment="testing", log_format="json")
    configure_logs(settings, service="bench", stream=Path(os.devnull).open("wb"))  # noqa: SIM115, ASYNC230 (for good)
    database = Database(
        PostgresSettings(environment="testing", database_url=SecretStr(os.environ["DATABASE_URL"])),
        application_name="bench",
    )
    redis = RedisSettings(environment="testing", redis_url=SecretStr(os.environ["REDIS_URL"]))
    registry = HandlerRegistry()

    async def work(_job: JobContext, _payload: EmptyPayload) -> None:
        begun()

    registry.add(JobKind(KIND, EmptyPayload), work)
    wakeups = RedisWakeupPublisher(redis)
    options = ConsumerOptions(worker="bench", queue=QUEUE)
    consumer = Consumer(database, redis, registry, wakeups=wakeups, options=options)
    async with wakeups.running(), consumer.running():
        await terminated()  # and then settles what it has begun


async def bare_arq() -> None:
    async def work(_: dict[Any, Any]) -> None:
        begun()

    worker = Worker(
        functions=[func(work, name=KIND)],  # type: ignore[arg-type]  # arq asks for a __qualname__
        redis_settings=ArqRedis.from_dsn(os.environ["REDIS_URL"]),
        handle_signals=False,
    )
    work_on = asyncio.create_task(worker.main())
    await terminated()
    work_on.cancel()
    await asyncio.gather(work_on, return_exceptions=True)
    with suppress(asyncio.CancelledError):  # of the jobs that it cancels
        await worker.close()


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text file
    asyncio.run({"durable": durable, "arq": bare_arq}[sys.argv[1]]())
