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

from twelvefold.http.server.acceptor import MAX_ACCEPTS, PAUSE, Acceptor

Act = Callable[[Acceptor, socket.socket, list[bool]], Awaitable[None]]


class Connection(asyncio.Protocol):
    """A protocol that records that it was made, and whether TCP_NODELAY is set."""

    made: list[bool]

    def connection_made(self, transport: Any) -> None:
        own = transport.get_extra_info("socket")
        self.made.append(bool(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))


def on_uvloop(
    act: Act, *, listening: type[socket.socket] = socket.socket, pause: float = PAUSE
) -> None:
    """Run `act` on the event loop of services."""

    async def main() -> None:
        made: list[bool] = []
        protocol = type("RecordedConnection", (Connection,), {"made": made})
        with listening() as server:
            server.bind(("127.0.0.1", 0))
            server.listen(512)
            await act(Acceptor(server, protocol, pause=pause), server, made)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def connect_many(server: socket.socket, count: int) -> list[socket.socket]:
    """Return `count` clients, which the kernel has queued."""
    return [socket.create_connection(server.getsockname()) for _ in range(count)]


def test_many_clients_are_accepted_in_a_few_turns_and_their_responses_are_not_held_back() -> None:
    async def act(acceptor: Acceptor, server: socket.socket, made: list[bool]) -> None:
        clients = connect_many(server, 3 * MAX_ACCEPTS)
        for _ in range(9):  # a turn to accept some, and two until they are connected
            await asyncio.sleep(0)
        assert made == [True] * len(clients)
        await acceptor.aclose()

    on_uvloop(act)


def test_closing_accepts_the_queued_connections_and_no_others() -> None:
    async def act(acceptor: Acceptor, server: socket.socket, made: list[bool]) -> None:
        address = server.getsockname()
        clients = connect_many(server, 2 * MAX_ACCEPTS)
        await acceptor.aclose()
        await acceptor.aclose()  # the second call does nothing
        assert len(made) == len(clients)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)

    on_uvloop(act)


def test_without_descriptors_it_pauses_and_then_goes_on() -> None:
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

    on_uvloop(act, listening=Exhausted, pause=0.05)


def test_an_acceptor_closed_during_a_pause_does_not_resume() -> None:
    class Exhausted(socket.socket):
        tries = 0

        def accept(self) -> Any:
            type(self).tries += 1
            raise OSError(errno.EMFILE, "Too many open files")

    async def act(acceptor: Acceptor, server: socket.socket, made: list[bool]) -> None:
        descriptor = server.fileno()
        (client,) = connect_many(server, 1)
        await acceptor.aclose()
        os.dup2(client.fileno(), descriptor)  # another socket now, and readable
        await asyncio.sleep(0.05)  # the pause would be over
        os.close(descriptor)
        assert Exhausted.tries == 1

    on_uvloop(act, listening=Exhausted, pause=0.01)
