"""The control: bare arq, held to the same promise by the same checker, does not keep it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from pathlib import Path

from arq.connections import RedisSettings, create_pool
from tests.chaos.checker import check
from tests.chaos.history import History, Outcome

JOBS = 40
_WORKER = """
import asyncio, os, sys
from arq.connections import RedisSettings
from arq.worker import Worker, func

async def work(ctx, key):
    with open(sys.argv[1], "a") as done:
        done.write(key + "\\n")
    await asyncio.sleep(0.2)

async def main():
    redis = RedisSettings.from_dsn(os.environ["REDIS_URL"])
    worker = Worker([func(work, name="work")], redis_settings=redis, max_jobs=5, poll_delay=0.02)
    await worker.async_run()

asyncio.run(main())
"""


async def test_bare_arq_loses_accepted_jobs_and_the_checker_says_so(redis_url: str, tmp_path: Path):
    """FLUSHALL in the middle of 40 jobs; on the servers of this run, in a database of its own."""
    history, done = History(tmp_path / "history.jsonl"), tmp_path / "done"
    done.touch()
    arq = await create_pool(RedisSettings.from_dsn(redis_url))
    for number in range(JOBS):
        history.note("enqueue", number, Outcome.INVOKE)
        await arq.enqueue_job("work", str(number))
        history.note("enqueue", number, Outcome.OK)
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _WORKER,
        str(done),
        env={"PATH": os.environ["PATH"], "REDIS_URL": redis_url},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(60):
            while len(done.read_text().splitlines()) < 3:
                await asyncio.sleep(0.01)
        await arq.flushdb()
        async with asyncio.timeout(60):
            before = -1
            # It has nothing more to do once a while passes without a job.
            while before != (before := len(done.read_text().splitlines())):
                await asyncio.sleep(1.0)
    finally:
        worker.terminate()
        await worker.wait()
        await arq.aclose()
    verdict = check(history.outcomes("enqueue"), Counter(done.read_text().split()))
    assert not verdict.holds
    assert len(verdict.lost) > JOBS / 2
