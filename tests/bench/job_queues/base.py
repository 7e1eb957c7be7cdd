"""What a job queue needs to be measured."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

QUEUE = KIND = "bench"
PRODUCERS = 8  # that commit jobs at the same time

Add = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers are. `database_url`: of the system's own database, as its superuser."""

    database_url: str
    redis_url: str
    producer_url: str = ""  # of the suite's roles
    worker_url: str = ""

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "BENCH_DATABASE_URL": self.database_url,
            "BENCH_REDIS_URL": self.redis_url,
            "BENCH_PRODUCER_URL": self.producer_url,
            "BENCH_WORKER_URL": self.worker_url,
        }

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Servers:
        return cls(
            environment["BENCH_DATABASE_URL"],
            environment["BENCH_REDIS_URL"],
            environment["BENCH_PRODUCER_URL"],
            environment["BENCH_WORKER_URL"],
        )


class JobQueueSystem(Protocol):
    """One job queue."""

    title: str  # in the table

    async def install(self, servers: Servers) -> None:
        """Create what the system needs in its database."""

    def producing(self, servers: Servers) -> AbstractAsyncContextManager[Add]:
        """Yield a function that commits a number of jobs at once."""

    async def work(self, servers: Servers, begun: Callable[[], None], stop: asyncio.Event) -> None:
        """Run jobs, each of which calls `begun`, until `stop`; then end in an orderly way."""
