"""Surges and stalls: everything is answered, though late. And overloads of reads, by measurement.

`overload` asks the same of writes. Figures depend on the machine; that nothing is refused does not.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
from redis.asyncio import Redis
from tests.chaos.checker import percentile
from tests.chaos.environment import ChaosEnvironment
from tests.chaos.load import PASSWORD
from tests.chaos.overload import (
    CLOSED,
    GOODPUT,
    GROWN_MB,
    REFUSED_MS,
    TIMES,
    Latencies,
    admin_token,
    all_pids,
    generated,
    rate_of,
    resident_bytes,
)

from twelvefold.contracts.accounts import user_cache_key
from twelvefold.identifiers import new_id

Log = Callable[[str], None]
Row = tuple[str, str]
READS_AT_ONCE, LOGINS_AT_ONCE = 500, 20
STALL, STEADY_RATE = 2.0, 50.0  # seconds, requests a second
SLOW_STATEMENT = 0.05  # seconds
ABOVE = 1.5  # times the capacity, for cached reads
_OK = 200
_INSERT = """
INSERT INTO users.accounts (id, email, email_key, name, role, password_hash)
SELECT id, id || '@surge.example', id || '@surge.example', 'Surge', 'user', '!'
FROM unnest($1::uuid[]) AS id
"""


class Surge:
    """The experiments on one suite. Each returns whether its promise holds, and its row."""

    def __init__(self, environment: ChaosEnvironment, seconds: float, log: Log) -> None:
        self._environment = environment
        self._seconds = seconds
        self._log = log
        self._accounts = [new_id() for _ in range(READS_AT_ONCE)]

    async def run(self) -> tuple[bool, list[Row]]:
        sql = await self._environment.sql()
        await sql.execute(_INSERT, self._accounts)
        await sql.close()
        self._token = await admin_token(self._environment)
        experiments: list[Callable[[], Awaitable[tuple[bool, Row]]]] = [
            self._reads_at_once,
            self._logins_at_once,
            lambda: self._stall("api"),
            lambda: self._stall("users"),
            self._many_clients,
            self._slow_pool,
            self._cached_above_capacity,
        ]
        results = []
        for experiment in experiments:
            holds, row = await experiment()
            self._log(f"{row[0]}: {row[1]}")
            results.append((holds, row))
            await asyncio.sleep(3)
        return all(holds for holds, _ in results), [row for _, row in results]

    async def _reads_at_once(self) -> tuple[bool, Row]:
        """Through the hop, since nothing is in the cache; a first round opens all connections."""
        seen: Latencies = {}
        for _ in range(2):
            await self._forget()
            seen = await generated({**self._reads, "burst": READS_AT_ONCE})
        done = seen.get(_OK, [])
        row = f"{READS_AT_ONCE} reads at once, not cached"
        return _all_done(seen), (row, f"{_summary(seen)}, p99 {percentile(done, 0.99):.0f} ms")

    async def _logins_at_once(self) -> tuple[bool, Row]:
        email = f"surge.{uuid4().hex}@example.com"
        async with httpx.AsyncClient(base_url=self._environment.api, timeout=30) as http:
            body = {"email": email, "name": "Surge", "password": PASSWORD}
            (await http.post("/api/v1/users", json=body)).raise_for_status()
        plan = {
            "method": "POST",
            "urls": [f"{self._environment.api}/api/v1/auth/token"],
            "form": {"grant_type": "password", "username": email, "password": PASSWORD},
            "headers": {},
            "burst": LOGINS_AT_ONCE,
        }
        seen = await generated(plan)
        last = max(seen.get(_OK, []), default=0)
        row = f"{LOGINS_AT_ONCE} logins at once"
        return _all_done(seen), (row, f"{_summary(seen)}, the last in {last:.0f} ms")

    async def _stall(self, service: str) -> tuple[bool, Row]:
        """Every process of a service stands still for STALL seconds, under a steady load."""
        await self._forget()
        load = asyncio.create_task(
            generated({**self._reads, "rate": STEADY_RATE, "seconds": STALL + 6})
        )
        await asyncio.sleep(3)
        pids = await self._environment.pids(service)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(STALL)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        seen = await load
        row = f"{service} stalls for {STALL:.0f} s at {STEADY_RATE:.0f}/s"
        return _all_done(seen), (row, _summary(seen))

    async def _many_clients(self) -> tuple[bool, Row]:
        """Five times the clients of the peak, each of whom sends again after each response."""
        peak, best = await self._peak(self._cached)
        seen = await generated({**self._cached, "closed": TIMES * best, "seconds": self._seconds})
        good = rate_of(seen, self._seconds)
        row = f"cached reads by {TIMES} x {best} clients"
        output = f"peak {peak:.0f}/s, {good:.0f}/s done ({good / peak:.0%}), {_summary(seen)}"
        return good >= GOODPUT * peak, (row, output)

    async def _slow_pool(self) -> tuple[bool, Row]:
        """Five times the rate that a slow PostgreSQL allows."""
        proxy = self._environment.proxies["postgres"]
        plan = {**self._cached, "urls": [f"{self._environment.api}/api/v1/images?limit=1"]}
        proxy.delay = SLOW_STATEMENT
        try:
            peak, _ = await self._peak(plan)
            before = await resident_bytes(self._environment)
            pids = await all_pids(self._environment)
            # Long enough for the queue to stand: the first seconds of an overload may be a surge.
            seconds = max(self._seconds, 10.0)
            seen = await generated({**plan, "rate": TIMES * peak, "seconds": seconds})
        finally:
            proxy.delay = 0.0
        grown = (await resident_bytes(self._environment) - before) / 1_000_000
        same = pids == await all_pids(self._environment)
        good, refused = rate_of(seen, seconds), seen.get(503, [])
        median = percentile(refused, 0.5)
        row = f"{TIMES} x the rate of a pool with {SLOW_STATEMENT * 1000:.0f} ms a statement"
        output = (
            f"peak {peak:.0f}/s, {good:.0f}/s done ({good / peak:.0%}), {_summary(seen)}, refused "
            f"in {median:.0f} ms at the median (p99 {percentile(refused, 0.99):.0f}), memory grew "
            f"{grown:.0f} MB, {'no crash' if same else 'A CRASH'}"
        )
        holds = good >= GOODPUT * peak and median < REFUSED_MS and grown < GROWN_MB and same
        return holds, (row, output)

    async def _cached_above_capacity(self) -> tuple[bool, Row]:
        """Reported only: at the limit of the processor, each refusal takes from the rest."""
        peak, _ = await self._peak(self._cached)
        seen = await generated({**self._cached, "rate": ABOVE * peak, "seconds": self._seconds})
        good = rate_of(seen, self._seconds)
        output = f"peak {peak:.0f}/s, {good:.0f}/s done ({good / peak:.0%}), {_summary(seen)}"
        return True, (f"cached reads at {ABOVE} x the peak", output)

    async def _peak(self, plan: dict[str, Any]) -> tuple[float, int]:
        """The best rate of a closed loop, and its number of clients."""
        rates = {}
        for closed in CLOSED:
            seen = await generated({**plan, "closed": closed, "seconds": self._seconds})
            rates[closed] = rate_of(seen, self._seconds)
            self._log(f"{closed} clients: {rates[closed]:.0f}/s")
        best = max(rates, key=lambda closed: rates[closed])
        return rates[best], best

    @property
    def _reads(self) -> dict[str, Any]:
        urls = [f"{self._environment.api}/api/v1/users/{account}" for account in self._accounts]
        headers = {"Authorization": f"Bearer {self._token}"}
        return {"method": "GET", "urls": urls, "headers": headers}

    @property
    def _cached(self) -> dict[str, Any]:
        return {**self._reads, "urls": self._reads["urls"][:10]}

    async def _forget(self) -> None:
        async with Redis.from_url(self._environment.url("redis")) as redis:
            await redis.delete(*(user_cache_key(account) for account in self._accounts))


def _all_done(seen: Latencies) -> bool:
    return set(seen) == {_OK}


def _summary(seen: Latencies) -> str:
    counts = ", ".join(f"{len(found)} x {status}" for status, found in sorted(seen.items()))
    done = seen.get(_OK, [])
    return f"{counts}; {percentile(done, 0.5):.0f} ms at the median" if done else counts
