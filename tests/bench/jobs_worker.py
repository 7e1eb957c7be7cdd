"""A worker of no-op jobs of one job queue, which prints when each has begun.

    python tests/bench/jobs_worker.py twelvefold 3

The number is a file descriptor for the lines. A line is the monotonic clock in nanoseconds, which
all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # as `python -m` would

import uvloop
from tests.bench.job_queues import load
from tests.bench.job_queues.base import Servers


async def main(name: str, sink: int) -> None:
    def begun() -> None:
        os.write(sink, b"%d\n" % time.monotonic_ns())

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await load(name).work(Servers.from_environment(os.environ), begun, stop)


if __name__ == "__main__":
    # As the services do; the others gain from it as well.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], int(sys.argv[2])))
