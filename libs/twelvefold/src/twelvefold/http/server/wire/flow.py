"""When a connection is read from, and whether its client takes what is written.

Owns the two bounds on a client's pace that the kernel's buffers hide: bytes that arrive before
they can be used, and responses that nobody reads.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

from uvicorn.protocols.http.flow_control import FlowControl

# Of what waits to be written at least so much has to be taken in each such period. A network that
# is away for some seconds is borne with; a client that does not read holds memory no longer.
WRITE_SECONDS = 20.0
WRITE_BYTES = 1024
_TCP_INFO_BYTES = 256
_ACKNOWLEDGED = struct.Struct("=120xQ")  # tcpi_bytes_acked of struct tcp_info, linux/tcp.h


class ReadGate(FlowControl):
    """uvicorn's flow control, which reads only while the connection itself can go on as well."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.held = False

    def hold_reading(self, held: bool) -> None:
        """Stop reading, or read again unless the request's body waits for its app."""
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


class ReaderWatch:
    """Notices that a client does not take what is written to its connection."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._since: float | None = None
        self._waiting = 0
        self._acknowledged = 0

    def is_stuck(self, now: float) -> bool:
        """Whether too little was taken for too long. Ask about once a second; `now` is the loop's.

        What the kernel of the client has acknowledged counts as well: with large buffers ours
        shrink in steps that a slow network takes long to make.
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
        """0 where the system does not tell."""
        connection = self._transport.get_extra_info("socket")
        option = getattr(socket, "TCP_INFO", None)
        with suppress(OSError, struct.error):
            if connection is not None and option is not None:
                info = connection.getsockopt(socket.IPPROTO_TCP, option, _TCP_INFO_BYTES)
                return int(_ACKNOWLEDGED.unpack_from(info)[0])
        return 0
