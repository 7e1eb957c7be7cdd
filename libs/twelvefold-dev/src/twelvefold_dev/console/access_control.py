"""Access control of the console: who may ask what, and what a browser may do with the answers.

The console listens on loopback, where every page in every browser of this machine, and every
account of it, can connect. The Host header is checked against rebound names (DNS rebinding), Origin
and Sec-Fetch-Site against foreign pages, and everything below /api/ requires the checkout's token,
reads included: as the header X-Console-Token, or, where a browser sends no header (an event stream,
a frame, a download), as the query parameter `ticket`, which is valid for that one path (OWASP
cheat sheet on cross-site request forgery). The page itself and its files hold no data. The response
headers let our page run its own files only, and treat no text as markup (Trusted Types).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problem import problem

TOKEN_HEADER = b"x-console-token"
TICKET = "ticket"
DATA = "/api/"  # below it every path requires the token
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


class AccessControl:
    """ASGI middleware. `port` is the console's own; `token` is what DATA requires."""

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
        if origin is not None and origin not in self._origins:
            return 403, "another origin's page has no business here"
        if scope["method"] not in _READS and origin is None:
            return 403, "a write names its Origin"
        is_read = scope["method"] in _READS
        if is_read and site not in (b"none", b"same-origin") and not _opens_a_page(headers):
            return 403, "another site's page has no business here"
        if scope["path"].startswith(DATA) and not self._has_token(scope, headers):
            return 401, "the console requires its token: `twelvefold console` prints it"
        return None

    def _has_token(self, scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
        if hmac.compare_digest(headers.get(TOKEN_HEADER, b""), self._token):
            return True
        if scope["method"] not in _READS:
            return False
        found = parse_qs(scope["query_string"].decode("ascii", "replace"), max_num_fields=20)
        expected = ticket_for(self._token.decode(), scope["path"]).encode()
        return hmac.compare_digest(found.get(TICKET, [""])[0].encode(), expected)


def ticket_for(token: str, path: str) -> str:
    """Return what reads of `path` may show in the token's place: HMAC-SHA256, hexadecimal.

    The page computes the same (js/api.js). A path is meant as decoded.
    """
    return hmac.new(token.encode(), path.encode(), "sha256").hexdigest()


def _opens_a_page(headers: Mapping[bytes, bytes]) -> bool:
    """A link was followed, in a tab of its own: the page is ours then, and nobody reads it."""
    return (
        headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest") == b"document"
    )
