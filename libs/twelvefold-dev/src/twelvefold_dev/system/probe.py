"""One small GET, for probes and /info: no HTTP client is worth its memory in the supervisor."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

_MAX_BYTES = 262_144


async def get(url: str, path: str, *, within: float) -> tuple[int, bytes]:
    """Status and body. Raises OSError where nobody answers within so many seconds."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                request = f"GET {path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n"
                writer.write(request.encode())
                response = await _everything(reader)
            finally:
                writer.close()
    except (TimeoutError, ValueError) as error:
        raise OSError(f"no answer from {url}{path}") from error
    head, _, body = response.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)
    if len(status) < 2 or not status[1].isdigit():  # noqa: PLR2004 (protocol and code)
        raise OSError(f"no HTTP answer from {url}{path}")
    return int(status[1]), body


async def _everything(reader: asyncio.StreamReader) -> bytes:
    """Until the end: HTTP/1.0 without keep-alive closes after the body."""
    received = bytearray()
    while chunk := await reader.read(65_536):
        received += chunk
        if len(received) > _MAX_BYTES:
            raise ValueError("the answer is too long")
    return bytes(received)
