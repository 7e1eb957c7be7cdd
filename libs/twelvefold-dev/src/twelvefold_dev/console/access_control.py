"""Access control of the console: which requests it accepts, and what a browser may do with them.

The console listens on loopback, where every user and every page in every browser of this machine
can connect. The check of Host prevents DNS rebinding; the checks of Origin and Sec-Fetch-Site
reject pages of other origins (OWASP cheat sheet on cross-site request forgery). Every path below
/api/ requires the checkout's token, reads included: in the header X-Console-Token or, where a
browser cannot send a header (an event stream, a frame, a download), as the query parameter
`ticket`, which is valid for that one path. The page and its files contain no data. The response
headers allow the page to run its own files only and to treat no text as markup (Trusted Types).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problem import problem

TOKEN_HEADER = b"x-console-token"
TICKET = "ticket"
DATA = "/api/"  # prefix of the paths that require the token
RECEIVER = "/v1/"  # prefix of the collector's paths, open to programs but to no browser
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
    """ASGI middleware. `port` is the console's own; `token` is required below DATA."""

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

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message.get("headers", ())}
                added = [pair for pair in _HEADERS.items() if pair[0] not in names]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        refusal = self._check(scope)
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
        else:
            await problem(*refusal)(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and detail of a refusal, or None for a request that is allowed."""
        headers = dict(scope["headers"])
        if headers.get(b"host", b"").lower() not in self._hosts:
            return 421, "The console accepts the hosts 127.0.0.1 and localhost only."
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site", b"none")
        if scope["path"].startswith(RECEIVER):
            if origin is not None or site != b"none":
                return 403, "Browsers may not send spans."
            return None
        if origin is not None and origin not in self._origins:
            return 403, "Pages of other origins may not use the console."
        if scope["method"] not in _READS and origin is None:
            return 403, "A write requires the Origin header."
        is_read = scope["method"] in _READS
        if is_read and site not in (b"none", b"same-origin") and not _opens_a_page(headers):
            return 403, "Pages of other sites may not use the console."
        if scope["path"].startswith(DATA) and not self._has_token(scope, headers):
            return 401, "The console requires its token, which `twelvefold console` prints."
        return None

    def _has_token(self, scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
        if hmac.compare_digest(headers.get(TOKEN_HEADER, b""), self._token):
            return True
        if scope["method"] not in _READS:
            return False
        query = parse_qs(scope["query_string"].decode("ascii", "replace"), max_num_fields=20)
        expected = ticket_for(self._token.decode(), scope["path"]).encode()
        return hmac.compare_digest(query.get(TICKET, [""])[0].encode(), expected)


def ticket_for(token: str, path: str) -> str:
    """Return the ticket that replaces the token in a read of `path`: HMAC-SHA256, hexadecimal.

    The page computes the same value (js/api.js). `path` is percent-decoded.
    """
    return hmac.new(token.encode(), path.encode(), "sha256").hexdigest()


def _opens_a_page(headers: Mapping[bytes, bytes]) -> bool:
    """Return whether the user follows a link, so that no other page can read the response."""
    return (
        headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest") == b"document"
    )
