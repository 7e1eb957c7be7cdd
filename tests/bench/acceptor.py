"""What several accepts per turn of the loop are worth, against uvloop's one, under a burst.

`python -m tests.bench.acceptor [--clients 400] [--turn-ms 2] [--rounds 3]`. Clients connect while
each turn of the server's loop takes some milliseconds, as under load. Measured is the time until
the last of them is accepted. Both variants run in turn in one process; nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import statistics
import sys
import time
from collections.abc import Callable

import uvloop

from twelvefold.http.server.acceptor import BACKLOG, Acceptor

Close = Callable[[], object]


class Counted(asyncio.Protocol):
    """A protocol that counts its connections and reports the last one."""

    def __init__(self, accepted: list[float], count: int, complete: asyncio.Event) -> None:
        self._accepted = accepted
        self._count = count
        self._complete = complete

    def connection_made(self, _: asyncio.BaseTransport) -> None:
        self._accepted.append(time.perf_counter())
        if len(self._accepted) == self._count:
            self._complete.set()


def connect(address: tuple[str, int], count: int, stack: contextlib.ExitStack) -> None:
    """Open `count` connections, which the kernel queues."""
    for _ in range(count):
        stack.enter_context(socket.create_connection(address))


async def work(turn: float) -> None:
    """Make each turn of the loop last `turn` seconds."""
    while True:
        time.sleep(turn)  # noqa: ASYNC251  (the load itself)
        await asyncio.sleep(0)


async def measure(*, several: bool, clients: int, turn: float) -> float:
    """Return the seconds from the burst until its last connection is accepted."""
    accepted: list[float] = []
    complete = asyncio.Event()
    loop = asyncio.get_running_loop()

    def create_protocol() -> Counted:
        return Counted(accepted, clients, complete)

    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(BACKLOG)
        connect(listening.getsockname(), clients, stack)
        load = asyncio.create_task(work(turn))
        started = time.perf_counter()
        if several:
            acceptor = Acceptor(listening, create_protocol)
            await complete.wait()
            await acceptor.aclose()
        else:
            server = await loop.create_server(create_protocol, sock=listening, backlog=BACKLOG)
            await complete.wait()
            server.close()
        load.cancel()
    return max(accepted) - started


def run(*, several: bool, clients: int, turn: float) -> float:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure(several=several, clients=clients, turn=turn))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=400)
    parser.add_argument("--turn-ms", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    turn = options.turn_ms / 1000
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(options.rounds):
        for several, measured in seconds.items():
            measured.append(run(several=several, clients=options.clients, turn=turn))
    acceptor, uvloop_server = (statistics.median(seconds[several]) for several in (True, False))
    sys.stdout.write(
        f"{options.clients} connections, turns of {options.turn_ms:g} ms, "
        f"{options.rounds} rounds\n"
        f"several accepts per turn (Acceptor)    {acceptor * 1000:8.1f} ms\n"
        f"one accept per turn (uvloop's server)  {uvloop_server * 1000:8.1f} ms\n"
        f"ratio                                  {uvloop_server / acceptor:8.1f}\n"
    )


if __name__ == "__main__":
    main()
