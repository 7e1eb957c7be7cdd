"""A TCP proxy between us and a real server, by which a test makes the network misbehave."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

_CHUNK = 65_536


class Proxy:
    """Forwards to one server until a test changes that."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.port = 0
        self.accepted = 0  # connections
        self.sent = 0  # times that clients have sent something
        self.something_sent = asyncio.Event()
        self.delay = 0.0  # seconds by which each piece of an answer arrives later
        self.hold_at: bytes | None = None  # holds the answers from when a client sends this

    def url(self, url: str) -> str:
        """The server's `url`, leading through here."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}").geturl()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def is_idle(self) -> bool:
        """Whether no connection leads through here."""
        return not self._open

    def hold(self) -> None:
        """The server's answers no longer arrive; what we send still does."""
        self._flowing.clear()
        self.something_sent.clear()

    def release(self) -> None:
        self._flowing.set()

    def drop(self) -> None:
        """Resets every connection; new ones are welcome."""
        for writer in list(self._open):
            writer.transport.abort()

    async def refuse(self) -> None:
        """Resets every connection and takes no new one, until `listen`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.drop()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._target)
        except OSError:  # the server is away: so are we
            writer.transport.abort()
            return
        both = {writer, there_writer}
        self._open |= both
        there = asyncio.create_task(self._pump(reader, there_writer, answers=False))
        back = asyncio.create_task(self._pump(there_reader, writer, answers=True))
        pumps = {there, back}
        self._pumps |= pumps
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        for one in both:
            one.transport.abort()
        self._open -= both
        self._pumps -= pumps

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if answers:
                    await self._flowing.wait()
                    if self.delay:
                        await asyncio.sleep(self.delay)
                else:
                    self.sent += 1
                    self.something_sent.set()
                    if self.hold_at is not None and self.hold_at in chunk:
                        self.hold()
                writer.write(chunk)
                await writer.drain()


@asynccontextmanager
async def open_proxy(url: str) -> AsyncIterator[Proxy]:
    """In front of the server of `url`."""
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        raise ValueError("the server's URL names no port")
    proxy = Proxy(parts.hostname, parts.port)
    await proxy.listen()
    try:
        yield proxy
    finally:
        proxy.release()
        await proxy.refuse()
