"""What observability costs: a hit of the read cache with everything on against everything off.

    make bench ARGS="--rounds 9"

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

import redis.asyncio
from tests.bench import frame
from tests.bench.service import KEY
from tests.collector import Collector

from twelvefold.cache import Entry, packed
from twelvefold.dev.ports import PortPicker
from twelvefold.dev.redis import RedisServer

EXPORT_DELAY = 1.0  # seconds: about a round's spans at a time, as by default at a tenth of its rate
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
                await client.set(KEY, packed(Entry(1, BODY)))
            async with (
                Collector(keep=False) as good,
                Collector(delay=3600.0) as slow,
                Collector(status=503) as refusing,
            ):
                collectors = {
                    "good": good.url,
                    "is away": "http://127.0.0.1:1",  # where nobody listens
                    "is slow": slow.url,
                    "refuses": refusing.url,
                }
                with ExitStack() as stack:
                    variants = await _started(stack, cases, cache.url, collectors)
                    await frame.measure(
                        variants,
                        rounds=rounds,
                        requests=requests,
                        settle=1.2 * EXPORT_DELAY,
                        progress=_progress,
                    )
        finally:
            await cache.stop()
    _report(cases, variants)
    return 0


async def _started(
    stack: ExitStack, cases: Sequence[Case], redis_url: str, collectors: Mapping[str, str]
) -> list[frame.Variant]:
    request = frame.get("/api/v1/hits/ada", **{"User-Agent": "bench/1"})
    variants = []
    for case in cases:
        collector = collectors[case.collector]
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(SERVICE.parents[2]),
            "ENVIRONMENT": "testing",
            "REDIS_URL": redis_url,
            "REDIS_TIMEOUT": "5",  # a busy machine is no outage here
            "LOG_FORMAT": "json",
            "HTTP_LAME_DUCK": "0",
            "COLLECTOR": collector,
            # Exports soon, so that each round pays for its own spans.
            "OTEL_BSP_SCHEDULE_DELAY": str(int(EXPORT_DELAY * 1000)),
        }
        if case.sampling is not None:
            environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector
            environment["OTEL_TRACES_SAMPLER_ARG"] = str(case.sampling)
        server = stack.enter_context(frame.served([str(SERVICE), case.variant], environment))
        await frame.answering(server.port, request)
        variants.append(frame.Variant(case.name, server, request))
    return variants


def _report(cases: Sequence[Case], variants: Sequence[frame.Variant]) -> None:
    base = {variant.name: variant.cpu for variant in variants}
    rows = []
    for case, variant in zip(cases, variants, strict=True):
        more = variant.cpu - base[case.base]
        rows.append(
            (
                variant.name,
                f"{variant.cpu:.0f}",
                f"±{variant.spread:.0%}",
                f"+{more:.0f}" if case.name != case.base else "",
                f"{variant.cpu / base[case.base]:.2f}",
                f"{variant.rate:.0f}",
            )
        )
    heads = ("variant", "CPU µs/request", "spread", "more", "ratio", "requests/s")
    sys.stdout.write(f"\n{frame.machine()}\n\n{frame.table(rows, heads)}\n")


def _progress(done: str) -> None:
    sys.stderr.write(f"\r{done}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=2000, help="a round")
    parser.add_argument("--only", default="", help="variants whose name holds this")
    options = parser.parse_args()
    raise SystemExit(asyncio.run(main(options.rounds, options.requests, options.only)))
