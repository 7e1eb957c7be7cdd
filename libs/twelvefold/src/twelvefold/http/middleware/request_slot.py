"""The slot of one request, given back while the request waits for its client."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive

from twelvefold.resilience.admission import AdmissionQueue


class RequestSlot:
    """A slot of `queue` that is held while the request is worked on.

    A slow client that is still sending its body takes no slot. Once its bytes arrive, the request
    goes on with the next slot that is free, before those that wait for their first.
    """

    __slots__ = ("_is_held", "_is_read", "_queue", "_receive")

    def __init__(self, queue: AdmissionQueue, receive: Receive) -> None:
        """Take over a slot that was gained before."""
        self._queue = queue
        self._receive = receive
        self._is_held = True
        self._is_read = False

    async def receive(self) -> Message:
        """Receive the next message of the client, without the slot if that takes time."""
        if self._is_read:  # the next message is the disconnect of the client
            return await self._receive()
        # Called in the next turn of the event loop, and not at all for bytes that are there.
        waiting = asyncio.get_running_loop().call_soon(self.leave)
        try:
            message = await self._receive()
        finally:
            waiting.cancel()
        if not self._is_held:
            await self._queue.resume()
            self._is_held = True
        self._is_read = not message.get("more_body", False)
        return message

    def leave(self) -> None:
        """Give the slot back, unless it is already given back."""
        if self._is_held:
            self._is_held = False
            self._queue.leave()
