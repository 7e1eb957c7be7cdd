"""A minimal HTTP GET for probes and /info. It saves the supervisor an HTTP client's memory."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

_MAX_BYTES = 262_144


async def get(url: str, path: str, *, within: float, accept: str = "*/*") -> tuple[int, bytes]:
    """Return status and body. Raises OSError without a complete response in `within` seconds."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                headers = f"Host: {parts.netloc}\r\nAccept: {accept}\r\n\r\n"
                writer.write(f"GET {path} HTTP/1.0\r\n{headers}".encode())
                response = await _read_to_end(reader)
            finally:
                writer.close()
    except (TimeoutError, ValueError) as error:
        raise OSError(f"no response from {url}{path}") from error
    head, _, body = response.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)
    if len(status) < 2 or not status[1].isdigit():  # noqa: PLR2004 (protocol and code)
        raise OSError(f"no HTTP response from {url}{path}")
    return int(status[1]), body


async def _read_to_end(reader: asyncio.StreamReader) -> bytes:
    # HTTP/1.0 without keep-alive closes the connection after the body.
    received = bytearray()
    while chunk := await reader.read(65_536):
        received += chunk
        if len(received) > _MAX_BYTES:
            raise ValueError("the response is too long")
    return bytes(received)
