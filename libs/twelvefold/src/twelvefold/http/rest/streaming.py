"""Responses that are sent while they are read: bounded in memory, and never truncated silently."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class OpenedResponse(StreamingResponse):
    """A response whose chunks come from a context manager, which is always left at its end.

    An error while the context manager is entered is handled like that of any route. A later error
    ends the response without its last chunk, so that the server cuts the connection (RFC 9112
    section 8).
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
        """Enter the context manager, send its chunks and leave it."""
        async with self._opened as chunks:
            self.body_iterator = chunks
            await super().__call__(scope, receive, send)
