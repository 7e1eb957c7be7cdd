"""What observability costs: a hit of the read cache with everything on against everything off.

    make bench-observability ARGS="--rounds 20 --only sampling"

Prints a Markdown table of CPU time per request, by turns in one run (see `frame`).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import redis.asyncio
from tests.bench import frame
from tests.bench.service import KEY
from tests.collector import Collector
from tests.fakes.users_client import AUDIENCE, ISSUER
from tests.tables import table

from twelvefold.cache.cache import CacheEntry, encode_entry
from twelvefold.contracts.accounts import Role
from twelvefold.security.keys import KeySet
from twelvefold.security.tokens import TokenIssuer
from twelvefold_dev.servers.redis import RedisServer
from twelvefold_dev.system.ports import PortPicker

# Seconds. A server is under load a fraction of the time here: by the usual five seconds it would
# send batches of a few spans, where a busy one fills them.
EXPORT_DELAY = 30.0
SETTLE = EXPORT_DELAY + 2.0
USER, SESSION = UUID(int=1), UUID(int=2)
SERVICE = Path(__file__).with_name("service.py")
BODY = (
    b'{"id":"01a20a1a-e864-76fb-a743-2a1714278b20","email":"ada@example.com","name":"Ada",'
    b'"role":"user","email_verified":false,"disabled":false,"has_avatar":false}'
)


@dataclass(frozen=True, slots=True)
class Case:
    """A variant of the service, its sampling (None: no endpoint), what it is compared with, and
    how the collector is.
    """

    name: str
    variant: str
    sampling: float | None = None
    base: str = "everything off"
    collector: str = "good"


CASES = (
    Case("everything off", "ours,metrics,logs,traces"),
    Case("metrics alone", "ours,logs,traces"),
    Case("logs alone", "ours,metrics,traces"),
    Case("trace ids alone (no endpoint)", "ours,metrics,logs"),
    Case("traces alone, sampling 0.1", "ours,metrics,logs", 0.1),
    Case("traces alone, sampling 1.0", "ours,metrics,logs", 1.0),
    Case("everything on, no endpoint", "ours"),
    Case("everything on, sampling 0.1", "ours", 0.1),
    Case("everything on, sampling 1.0", "ours", 1.0),
    *(
        Case(f"…, the collector {how}", "ours", 0.1, "everything on, sampling 0.1", how)
        for how in ("is away", "is slow", "refuses")
    ),
    Case("api: everything off", "api,metrics,logs,traces", base="api: everything off"),
    Case("api: everything on, no endpoint", "api", base="api: everything off"),
    Case("api: everything on, sampling 0.1", "api", 0.1, "api: everything off"),
    Case("api: everything on, sampling 1.0", "api", 1.0, "api: everything off"),
    Case("plain FastAPI", "usual", base="plain FastAPI"),
    Case("the usual libraries, untuned", "usual,libraries", base="plain FastAPI"),
)


async def main(rounds: int, requests: int, only: str) -> int:
    frame.keep_to_load_core()
    wanted = [case for case in CASES if only in case.name]
    bases = {case.base for case in wanted}
    cases = [case for case in CASES if case in wanted or case.name in bases]
    with tempfile.TemporaryDirectory(prefix="twelvefold-bench-") as folder:
        cache = RedisServer(
            Path(folder), port=PortPicker(str(uuid.uuid4())).take(), password="bench", durable=False
        )
        await cache.start()
        try:
            async with redis.asyncio.from_url(cache.url) as client:
                for key in (KEY, f"user:{USER}"):
                    await client.set(key, encode_entry(CacheEntry(1, BODY)))
            async with (
                Collector(keep=False) as good,
                Collector(delay=3600.0) as slow,
                Collector(status=503) as refusing,
            ):
                collectors = {
                    "good": good.url,
                    "is away": "http://127.0.0.1:1",  # no listener
                    "is slow": slow.url,
                    "refuses": refusing.url,
                }
                with ExitStack() as stack:
                    variants = await _started(stack, cases, cache.url, collectors)
                    await frame.measure(
                        variants,
                        rounds=rounds,
                        requests=requests,
                        settle=SETTLE,
                        progress=_progress,
                    )
        finally:
            await cache.stop()
    _report(cases, variants)
    return 0


async def _started(
    stack: ExitStack, cases: Sequence[Case], redis_url: str, collectors: Mapping[str, str]
) -> list[frame.Variant]:
    keys = KeySet.generate()
    token = TokenIssuer(keys, ISSUER, AUDIENCE, ttl=86_400).issue(
        USER, Role.USER, "users:read", SESSION
    )
    agent = {"User-Agent": "bench/1"}
    hit = frame.get("/api/v1/hits/ada", **agent)
    read = frame.get(f"/api/v1/users/{USER}", Authorization=f"Bearer {token}", **agent)
    variants = []
    for case in cases:
        collector = collectors[case.collector]
        edge = case.variant.startswith("api")
        environment = {
            **(_of_the_edge(keys) if edge else {"COLLECTOR": collector}),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(SERVICE.parents[2]),
            "ENVIRONMENT": "testing",
            "REDIS_URL": redis_url,
            "REDIS_TIMEOUT": "5",  # a busy machine is no outage here
            "LOG_FORMAT": "json",
            "HTTP_LAME_DUCK": "0",
            "OTEL_BSP_SCHEDULE_DELAY": str(int(EXPORT_DELAY * 1000)),
        }
        if case.sampling is not None:
            environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector
            environment["OTEL_TRACES_SAMPLER_ARG"] = str(case.sampling)
        server = stack.enter_context(frame.served([str(SERVICE), case.variant], environment))
        request = read if edge else hit
        await frame.answering(server, request)
        variants.append(frame.Variant(case.name, server, request))
    return variants


def _of_the_edge(keys: KeySet) -> dict[str, str]:
    """What api needs beyond the others; nothing of it is reached by a hit of the cache."""
    return {
        "BENCH_KEYS": keys.to_json(),
        "DATABASE_URL": "postgresql://api_app:bench@127.0.0.1:1/bench",
        "USERS_URL": "http://127.0.0.1:1",
        "S3_ENDPOINT": "http://127.0.0.1:1",
        "S3_BUCKET": "bench",
        "S3_EAGER": "false",
        "SECRET_KEY": "bench-" * 8,
        "INTERNAL_SECRET": "bench-" * 8,
        "INTERNAL_SECRETS_WORKER": "bench-" * 8,
        "INTERNAL_PORT": "0",
        "RATE_LIMIT_USER": "1000000",
    }


def _report(cases: Sequence[Case], variants: Sequence[frame.Variant]) -> None:
    by_name = {variant.name: variant for variant in variants}
    rows = []
    for case, variant in zip(cases, variants, strict=True):
        base = by_name[case.base]
        ratio = variant.ratio(base)
        rows.append(
            (
                variant.name,
                f"{variant.cpu:.0f}",
                f"{variant.beside:.0f}",
                f"±{variant.spread:.0%}",
                f"{(ratio - 1) * base.cpu:+.0f}" if case.name != case.base else "",
                f"{ratio:.2f}",
                f"{variant.rate:.0f}",
            )
        )
    heads = ("variant", "CPU µs/request", "background", "spread", "more", "ratio", "requests/s")
    sys.stdout.write(f"\n{frame.machine()}\n\n{table(heads, rows)}\n")


def _progress(done: str) -> None:
    sys.stderr.write(f"\r{done}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--requests", type=int, default=300, help="a round")
    parser.add_argument("--only", default="", help="variants whose name holds this")
    options = parser.parse_args()
    raise SystemExit(asyncio.run(main(options.rounds, options.requests, options.only)))
