"""What every bench needs: a process alone on a core, a load, its CPU time, and a table.

The server has one core, the load and everything else the other. Variants are measured by turns in
one run, in rounds, and compared by medians, since a machine that others use too is never quiet.
CPU time per request is the steadier figure; throughput depends on who else is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
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
    """A server process under measurement, and its ports by the setting that names the socket."""

    child: subprocess.Popen[bytes]
    ports: Mapping[str, int]

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def port(self) -> int:
        """The first of them."""
        return next(iter(self.ports.values()))

    def cpu_seconds(self) -> float:
        """Of every thread that is there, in nanoseconds' resolution (Linux)."""
        nanoseconds = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(OSError):  # a thread that has just ended
                nanoseconds += int((task / "schedstat").read_text().split()[0])
        return nanoseconds / 1e9

    def all_cpu_seconds(self) -> float:
        """Of every thread that there ever was, in hundredths of a second."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def pss_mebibytes(self) -> float:
        """Memory of its own, and its share of what it shares with others."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(re.findall(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[0]) / 1024


@contextlib.contextmanager
def served(
    command: Sequence[str],
    environment: Mapping[str, str],
    sockets: Sequence[str] = ("HTTP_FD", "MANAGEMENT_FD"),
) -> Iterator[Served]:
    """Starts `command`, which takes these sockets as inherited ones, on the server's core."""
    with contextlib.ExitStack() as stack:
        bound = {name: stack.enter_context(socket.socket()) for name in sockets}
        for listening in bound.values():
            listening.bind(("127.0.0.1", 0))
            listening.listen(512)
            listening.set_inheritable(True)
        descriptors = {name: listening.fileno() for name, listening in bound.items()}
        child = subprocess.Popen(  # noqa: S603  (our own command)
            [sys.executable, "-c", PINNED, str(SERVER_CORE), *command],
            env={**environment, **{name: str(number) for name, number in descriptors.items()}},
            pass_fds=tuple(descriptors.values()),
            stdout=subprocess.PIPE,
        )
        ports = {name: listening.getsockname()[1] for name, listening in bound.items()}
    # As a platform would take its logs: through a pipe that is read.
    draining = threading.Thread(target=_drain, args=(child,), daemon=True)
    draining.start()
    try:
        yield Served(child, ports)
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


async def load(
    port: int,
    request: bytes | Callable[[], bytes],
    requests: int,
    connections: int,
    *,
    statuses: Sequence[int] = (200,),
) -> float:
    """Seconds for `requests` over kept connections. Raises where an answer has another status."""
    left = iter(range(requests))
    make = request if callable(request) else lambda: request
    expected = tuple(f"HTTP/1.1 {status}".encode() for status in statuses)

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            writer.write(make())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(expected):
                raise RuntimeError(head.decode())
            if length := _LENGTH.search(head):
                await reader.readexactly(int(length[1]))
        writer.close()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(client())
    return time.perf_counter() - started


async def answering(served: Served, request: bytes, port: int = 0) -> None:
    """Waits until the server answers `request` with 200, by default on its first port."""
    async with asyncio.timeout(START):
        while served.child.poll() is None:
            try:
                await load(port or served.port, request, 1, 1)
            except* (OSError, RuntimeError, asyncio.IncompleteReadError):
                pass
            else:
                return
            await asyncio.sleep(0.05)
    raise RuntimeError(f"the server ended with {served.child.returncode}")


def get(path: str, **headers: str) -> bytes:
    return _head("GET", path, headers)


def post(path: str, body: bytes, **headers: str) -> bytes:
    return _head("POST", path, {"Content-Length": str(len(body)), **headers}) + body


def _head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    """Underscores of a header's name stand for hyphens."""
    fields = (f"{name.replace('_', '-')}: {value}" for name, value in headers.items())
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: bench", *fields, "", ""]).encode()


def machine() -> str:
    """What a reader has to know of the machine."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {sys.version.split()[0]}"
    )


def _processor() -> str:
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text()
        if names := re.findall(r"^model name\s*: (.+)$", text, re.MULTILINE):
            return str(names[0])
    return platform.processor() or platform.machine()
