"""What every bench needs: a process alone on a core, a load, its CPU time, and a table.

The server has one core, the load and everything else the other. Variants are measured by turns in
one run, in rounds, and compared by medians, since a machine that others use too is never quiet.
CPU time per request is the steadier figure; throughput depends on who else is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SERVER_CORE, LOAD_CORE = 0, 1
START = 60.0  # seconds
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


def keep_to_load_core() -> None:
    """This process, and what it starts from now on, leave the server's core alone."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {LOAD_CORE})


@dataclass(frozen=True, slots=True)
class Served:
    """A server process under measurement."""

    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """Of every thread that is there, in nanoseconds' resolution (Linux)."""
        nanoseconds = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(OSError):  # a thread that has just ended
                nanoseconds += int((task / "schedstat").read_text().split()[0])
        return nanoseconds / 1e9

    def rss_mebibytes(self) -> float:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def served(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Served]:
    """Starts `command`, which takes HTTP_FD and MANAGEMENT_FD, on the server's core."""
    with socket.socket() as public, socket.socket() as management:
        for listening in (public, management):
            listening.bind(("127.0.0.1", 0))
            listening.listen(512)
            listening.set_inheritable(True)
        child = subprocess.Popen(  # noqa: S603  (our own command)
            [sys.executable, "-c", PINNED, str(SERVER_CORE), *command],
            env={
                **environment,
                "HTTP_FD": str(public.fileno()),
                "MANAGEMENT_FD": str(management.fileno()),
            },
            pass_fds=(public.fileno(), management.fileno()),
            stdout=subprocess.PIPE,
        )
        port = public.getsockname()[1]
    # As a platform would take its logs: through a pipe that is read.
    draining = threading.Thread(target=_drain, args=(child,), daemon=True)
    draining.start()
    try:
        yield Served(child.pid, port)
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        draining.join()


PINNED = """
import os, runpy, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {int(sys.argv[1])})
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def _drain(child: subprocess.Popen[bytes]) -> None:
    assert child.stdout
    while child.stdout.read1(65_536):  # type: ignore[attr-defined]  # a BufferedReader
        pass


@dataclass(frozen=True, slots=True)
class Round:
    """What one variant did in one round."""

    cpu: float  # microseconds a request
    rate: float  # requests a second


@dataclass(slots=True)
class Variant:
    """Something to measure, and what was measured of it."""

    name: str
    server: Served
    request: bytes
    rounds: list[Round] = field(default_factory=list)
    beside: float = 0.0  # microseconds a request, of what the server did between its rounds

    @property
    def cpu(self) -> float:
        return statistics.median(one.cpu for one in self.rounds) + self.beside

    @property
    def rate(self) -> float:
        return statistics.median(one.rate for one in self.rounds)

    def ratio(self, base: Variant) -> float:
        """Of CPU time, round by round: what slowed a round slowed both."""
        pairs = zip(self.rounds, base.rounds, strict=True)
        during = statistics.median(own.cpu / other.cpu for own, other in pairs)
        return during + (self.beside - base.beside) / base.cpu

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles of CPU, as a share of the median."""
        if len(self.rounds) < 4:
            return 0.0
        first, _, third = statistics.quantiles((one.cpu for one in self.rounds), n=4)
        return (third - first) / 2 / self.cpu


async def measure(
    variants: Sequence[Variant],
    *,
    rounds: int,
    requests: int,
    connections: int = 16,
    settle: float = 0.0,
    progress: Callable[[str], None] = lambda _: None,
) -> None:
    """By turns, so that what slows the machine slows all of them: many short rounds beat few long.

    What a server puts off (a batch of spans) it does while others have their turn, or in `settle`
    seconds at the end; it counts as `beside`.
    """
    for variant in variants:  # warm-up
        await load(variant.server.port, variant.request, 4 * requests, connections)
    await asyncio.sleep(settle)
    begun = [variant.server.cpu_seconds() for variant in variants]
    during = [0.0] * len(variants)
    for number in range(rounds):
        for index, variant in enumerate(variants):
            before = variant.server.cpu_seconds()
            seconds = await load(variant.server.port, variant.request, requests, connections)
            cpu = variant.server.cpu_seconds() - before
            during[index] += cpu
            variant.rounds.append(Round(cpu / requests * 1e6, requests / seconds))
        progress(f"round {number + 1} of {rounds}")
    await asyncio.sleep(settle)
    for variant, start, spent in zip(variants, begun, during, strict=True):
        rest = variant.server.cpu_seconds() - start - spent
        variant.beside = rest / (rounds * requests) * 1e6


async def load(port: int, request: bytes, requests: int, connections: int) -> float:
    """Seconds for `requests` over kept connections. Raises where an answer is no 200."""
    left = iter(range(requests))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            if length := _LENGTH.search(head):
                await reader.readexactly(int(length[1]))
        writer.close()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(client())
    return time.perf_counter() - started


async def answering(port: int, request: bytes) -> None:
    """Waits until the server answers `request` with 200."""
    async with asyncio.timeout(START):
        while True:
            with contextlib.suppress(OSError, RuntimeError, asyncio.IncompleteReadError):
                await load(port, request, 1, 1)
                return
            await asyncio.sleep(0.05)


def get(path: str, **headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: bench", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def machine() -> str:
    """What a reader has to know of the machine."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}"
