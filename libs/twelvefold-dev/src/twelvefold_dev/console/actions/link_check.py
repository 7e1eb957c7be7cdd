"""A check of the links in an email: whether each leads to a page of this stack.

Only links to public listeners of the stack are opened; links to other hosts are listed. A GET of a
mailed link changes nothing (it opens a page with a button).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import urljoin, urlsplit

from .http_client import HttpClient, RequestFailed

_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_FIRST_ERROR = 400


class LinkChecker:
    """Checks links to the origins in `public`, the URLs of the stack's public listeners."""

    def __init__(self, http: HttpClient, public: Collection[str]) -> None:
        self._http = http
        self._origins = {_origin(url) for url in public}

    async def check(self, links: Sequence[str]) -> list[dict[str, Any]]:
        """Return for each link: url, checked, ok, status and detail."""
        return list(await asyncio.gather(*(self._check(link) for link in links)))

    async def _check(self, link: str) -> dict[str, Any]:
        result: dict[str, Any] = {"url": link, "checked": True, "ok": False, "status": None}
        url = link
        for _ in range(_MAX_REDIRECTS):
            if _origin(url) not in self._origins:
                return {**result, "checked": False, "detail": "another host"}
            parts = urlsplit(url)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            try:
                response = await self._http.send("GET", url, target, [("Accept", "text/html")])
            except RequestFailed as error:
                return {**result, "detail": str(error)}
            result["status"] = response.status
            if response.status not in _REDIRECTS:
                return {**result, "ok": response.status < _FIRST_ERROR, "detail": ""}
            url = urljoin(url, response.headers.get("location", ""))
        return {**result, "detail": "too many redirects"}


def _origin(url: str) -> str:
    """Return scheme, host and port. `localhost` and 127.0.0.1 count as one host."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    return f"{parts.scheme}://{host}:{port or ''}"
