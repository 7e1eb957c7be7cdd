"""Connections are accepted as they come, also many at once, and to the last one at the end."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from twelvefold.http.server import acceptor as accepting
from twelvefold.http.server.acceptor import AT_ONCE, Acceptor

Act = Callable[[Acceptor, socket.socket, list[bool]], Awaitable[None]]


class Connection(asyncio.Protocol):
    """Notes that it was made, and whether it sends small packets at once."""

    made: list[bool]

    def connection_made(self, transport: Any) -> None:
        own = transport.get_extra_info("socket")
        self.made.append(bool(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))


def on_uvloop(act: Act, *, listening: type[socket.socket] = socket.socket) -> None:
    """Runs on the loop that services run on."""

    async def main() -> None:
        made: list[bool] = []
        protocol = type("Noting", (Connection,), {"made": made})
        with listening() as server:
            server.bind(("127.0.0.1", 0))
            server.listen(512)
            await act(Acceptor(server, protocol), server, made)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def connect_many(server: socket.socket, count: int) -> list[socket.socket]:
    """So many clients whom the kernel has taken, and nobody else."""
    return [socket.create_connection(server.getsockname()) for _ in range(count)]


def test_many_clients_are_accepted_in_a_few_turns_and_their_responses_are_not_held_back() -> None:
    async def act(acceptor: Acceptor, server: socket.socket, made: list[bool]) -> None:
        clients = connect_many(server, 3 * AT_ONCE)
        for _ in range(9):  # a turn to accept some, and two until they are connections
            await asyncio.sleep(0)
        assert made == [True] * len(clients)
        await acceptor.aclose()

    on_uvloop(act)


def test_at_the_end_whom_the_kernel_has_taken_is_served_and_nobody_after() -> None:
    async def act(acceptor: Acceptor, server: socket.socket, made: list[bool]) -> None:
        address = server.getsockname()
        clients = connect_many(server, 2 * AT_ONCE)
        await acceptor.aclose()
        await acceptor.aclose()  # and again does nothing
        assert len(made) == len(clients)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)

    on_uvloop(act)


def test_without_descriptors_it_takes_a_break_and_then_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accepting, "_BREAK", 0.05)

    class Exhausted(socket.socket):
        tries = 0

        def accept(self) -> Any:
            type(self).tries += 1
            if self.tries == 1:
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    async def act(acceptor: Acceptor, server: socket.socket, made: list[bool]) -> None:
        client = connect_many(server, 1)
        async with asyncio.timeout(5):
            while not made:
                await asyncio.sleep(0.01)
        assert client
        assert Exhausted.tries < 5  # it did not spin
        await acceptor.aclose()

    on_uvloop(act, listening=Exhausted)


def test_one_that_is_closed_without_descriptors_does_not_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accepting, "_BREAK", 0.01)

    class Exhausted(socket.socket):
        tries = 0

        def accept(self) -> Any:
            type(self).tries += 1
            raise OSError(errno.EMFILE, "Too many open files")

    async def act(acceptor: Acceptor, server: socket.socket, made: list[bool]) -> None:
        descriptor = server.fileno()
        (client,) = connect_many(server, 1)
        await acceptor.aclose()
        os.dup2(client.fileno(), descriptor)  # somebody else's now, and readable
        await asyncio.sleep(0.05)  # the break would be over
        os.close(descriptor)
        assert Exhausted.tries == 1

    on_uvloop(act, listening=Exhausted)
