"""Stands in front of everything: who may ask what, and what a browser may do with the answers.

The console listens on loopback, where any page in any browser of this machine can reach it. Host
is checked against rebound names (DNS rebinding), the user at the other end against ours, Origin and Sec-Fetch-Site against other pages,
a token of this start is asked for every write (OWASP: cross-site request forgery). The headers
let a page of ours run its own files only, and take no text for markup (Trusted Types).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .peers import is_another_user
from .problem import problem

TOKEN_HEADER = b"x-console-token"
RECEIVER = "/v1/"  # below it collectors' paths lie: programs write there, no browser may
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Mapping[bytes, bytes] = {
    b"content-security-policy": PAGE_POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"x-dns-prefetch-control": b"off",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), usb=()",
    b"cache-control": b"no-store",
}
_READS = ("GET", "HEAD")


class Guard:
    """ASGI middleware. `port` is our own; `token` is asked for writes."""

    def __init__(self, app: ASGIApp, *, port: int, token: str) -> None:
        self._app = app
        self._hosts = frozenset(
            f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost", "[::1]")
        )
        self._origins = frozenset(b"http://" + host for host in self._hosts)
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message.get("headers", ())}
                added = [pair for pair in _HEADERS.items() if pair[0] not in given]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, guarded)
        else:
            await problem(*refusal)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = dict(scope["headers"])
        if headers.get(b"host", b"").lower() not in self._hosts:
            return 421, "the console answers to 127.0.0.1 and localhost only"
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site", b"none")
        if scope["path"].startswith(RECEIVER):
            if origin is not None or site != b"none":
                return 403, "spans come from programs, not from pages"
            return None
        if scope["client"] and is_another_user(tuple(scope["client"]), tuple(scope["server"])):
            return 403, "the console answers to the user who started it, and to root"
        if origin is not None and origin not in self._origins:
            return 403, "another origin's page has no business here"
        if scope["method"] in _READS:
            if site not in (b"none", b"same-origin") and not _opens_a_page(headers):
                return 403, "another site's page has no business here"
            return None
        return self._refusal_of_write(origin, headers)

    def _refusal_of_write(
        self, origin: bytes | None, headers: Mapping[bytes, bytes]
    ) -> tuple[int, str] | None:
        if origin is None:
            return 403, "a write names its Origin"
        if not hmac.compare_digest(headers.get(TOKEN_HEADER, b""), self._token):
            return 401, "a write needs the token of this start: `twelvefold console` shows it"
        return None


def _opens_a_page(headers: Mapping[bytes, bytes]) -> bool:
    """A link was followed, in a tab of its own: the page is ours then, and nobody reads it."""
    return (
        headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest") == b"document"
    )
