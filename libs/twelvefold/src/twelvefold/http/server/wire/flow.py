"""Flow control of a connection: when it is read, and whether its client reads.

Owns the two bounds that the kernel's buffers hide: bytes that arrive before they can be used, and
responses that the client does not read.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

from uvicorn.protocols.http.flow_control import FlowControl

# At least WRITE_BYTES of the waiting bytes must be taken in each period of WRITE_SECONDS. A network
# may fail for some seconds; a client that does not read is cut, since its response takes memory.
WRITE_SECONDS = 20.0
WRITE_BYTES = 1024
# Bytes of responses that the kernel keeps of a connection (it doubles the figure on Linux). By
# default it takes up to 4 MiB at once, at about a millisecond for each MiB, so that connections
# which ask for large responses at the same moment would stop the loop for all of them.
SEND_BUFFER_BYTES = 128 * 1024
_TCP_INFO_BYTES = 256
_ACKNOWLEDGED = struct.Struct("=120xQ")  # tcpi_bytes_acked of struct tcp_info, linux/tcp.h


class ReadGate(FlowControl):
    """uvicorn's flow control, which the connection itself can also stop from reading."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.held = False

    def hold_reading(self, held: bool) -> None:
        """Stop reading, or resume it unless the body waits for the app."""
        if held == self.held:
            return
        self.held = held
        if self.read_paused or self._transport.is_closing():
            return
        if held:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def pause_reading(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            if not self.held and not self._transport.is_closing():
                self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            if not self.held and not self._transport.is_closing():
                self._transport.resume_reading()


def bound_send_buffer(transport: asyncio.Transport) -> None:
    """Limit what the kernel takes of a connection's responses, in one turn and in all."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


class ReaderWatch:
    """A check whether a client reads what is written to its connection."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._since: float | None = None
        self._waiting = 0
        self._acknowledged = 0

    def is_stuck(self, now: float) -> bool:
        """Return whether the client read less than WRITE_BYTES in WRITE_SECONDS.

        Call it about once a second with the time of the event loop. Bytes that the client's kernel
        acknowledged count as well, since large buffers of the server shrink in steps that take long
        over a slow network.
        """
        waiting = self._transport.get_write_buffer_size()
        if not waiting:
            self._since = None
            return False
        acknowledged = self._acknowledged_bytes()
        taken = max(acknowledged - self._acknowledged, self._waiting - waiting)
        if self._since is None or taken >= WRITE_BYTES:
            self._since, self._waiting, self._acknowledged = now, waiting, acknowledged
            return False
        return now - self._since >= WRITE_SECONDS

    def _acknowledged_bytes(self) -> int:
        """Return the bytes that the client's kernel acknowledged; 0 except on Linux."""
        connection = self._transport.get_extra_info("socket")
        option = getattr(socket, "TCP_INFO", None)
        with suppress(OSError, struct.error):
            if connection is not None and option is not None:
                info = connection.getsockopt(socket.IPPROTO_TCP, option, _TCP_INFO_BYTES)
                return int(_ACKNOWLEDGED.unpack_from(info)[0])
        return 0
