"""Documents that are sent while they are read: bounded in memory, and never short unnoticed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class OpenedResponse(StreamingResponse):
    """Sends what a context manager opens, and leaves it however the response ends.

    An error while it opens is answered like that of any route. One that comes later ends the
    response without its last chunk, so that the server cuts the connection (RFC 9112 section 8).
    """

    def __init__(
        self,
        opened: AbstractAsyncContextManager[AsyncIterator[bytes]],
        *,
        headers: Mapping[str, str] | None = None,
        media_type: str = "application/json",
    ) -> None:
        super().__init__(iter(()), headers=headers, media_type=media_type)
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Opens, sends and leaves."""
        async with self._opened as chunks:
            self.body_iterator = chunks
            await super().__call__(scope, receive, send)
