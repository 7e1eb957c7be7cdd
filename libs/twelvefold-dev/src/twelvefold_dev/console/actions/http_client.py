"""A small HTTP client over the standard library, which saves the console a client's memory.

It follows no redirect and sends to the address of the URL only, without any proxy.
"""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_RESPONSE_BYTES = 262_144  # of a body; the rest is not read


class RequestFailed(Exception):
    """No response arrived."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response. `headers` has names in lower case; `milliseconds` is the time to its end."""

    status: int
    headers: dict[str, str]
    body: bytes
    milliseconds: float


class HttpClient:
    """Sends requests in the threads of `threads`; `within` bounds each socket operation."""

    def __init__(self, threads: Executor, within: float = 10.0) -> None:
        self._threads = threads
        self._within = within

    async def send(
        self,
        method: str,
        url: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
    ) -> HttpResponse:
        """Send a request for `target` (path and query) to the origin of `url`.

        Raises RequestFailed without a response, or for a target that is none.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, self._send, method, url, target, list(headers), body
        )

    def _send(
        self, method: str, url: str, target: str, headers: list[tuple[str, str]], body: bytes | None
    ) -> HttpResponse:
        started = time.monotonic()
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=self._within)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.putheader("Connection", "close")
            connection.endheaders(body)
            response = connection.getresponse()
            content = response.read(MAX_RESPONSE_BYTES)
            received = {name.lower(): value for name, value in response.getheaders()}
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise RequestFailed(f"{urlsplit(url).netloc} did not respond: {reason}") from error
        finally:
            connection.close()
        milliseconds = (time.monotonic() - started) * 1e3
        return HttpResponse(response.status, received, content, milliseconds)
