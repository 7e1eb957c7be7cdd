"""An SMTP server that refuses what its test wants refused. It speaks the protocol by aiosmtpd."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult


@dataclass
class SmtpServer:
    """`replies` by command (MAIL, RCPT, DATA) are given instead of acceptance."""

    replies: dict[str, str] = field(default_factory=dict)
    emails: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)  # for each email
    port: int = 0

    async def handle_MAIL(  # noqa: N802  (aiosmtpd finds the handlers by these names)
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if "MAIL" in self.replies:
            return self.replies["MAIL"]
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802  (as above)
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if "RCPT" in self.replies:
            return self.replies["RCPT"]
        envelope.rcpt_tos.append(address)
        self.recipients.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  (as above)
        if "DATA" in self.replies:
            return self.replies["DATA"]
        self.emails.append(envelope.original_content)
        self.encrypted.append(session.ssl is not None)
        return "250 OK"

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, login: Any
    ) -> AuthResult:
        name, password = login.login.decode(), login.password.decode()
        self.logins.append((name, password))
        return AuthResult(success=password == "right")


@asynccontextmanager
async def open_smtp(
    *,
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
    with_login: bool = False,
    eight_bits: bool = True,
) -> AsyncIterator[SmtpServer]:
    """`starttls` is offered and then demanded; `tls` encrypts from the first byte; `eight_bits`
    offers 8BITMIME.
    """
    handler = SmtpServer()
    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        return SMTP(
            handler,
            hostname="localhost",
            loop=loop,
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=handler.authenticate if with_login else None,
            auth_require_tls=False,
            decode_data=not eight_bits,
        )

    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls)
    handler.port = server.sockets[0].getsockname()[1]
    yield handler
    server.close()
