"""The Mailer protocol, the format of an email, and delivery by SMTP.

`sendgrid` holds the other implementation; the worker owns the templates. Delivery is at least
once: if a response is lost, the caller sends again with the same Message-ID, by which receivers
recognise a duplicate.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import unicodedata
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses
from typing import Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib
from opentelemetry.trace import SpanKind

from twelvefold.contracts.email_address import ascii_address
from twelvefold.errors import DependencyUnavailable, Rejected
from twelvefold.observability import metrics, spans
from twelvefold.resilience.circuit_breaker import Bulkhead
from twelvefold.settings import MailSettings

MAX_CONCURRENT_SENDS = 100  # per process
_QUIT_TIMEOUT = 1.0  # seconds; QUIT is optional
_PERMANENT_ERRORS = range(500, 600)  # reply codes, RFC 5321 section 4.2.1
_MAX_LINE_BYTES = 998  # RFC 5322 section 2.1.1
_DEFAULT_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_HEADER_NAME = re.compile(r"[!-9;-~]+")  # RFC 5322 section 2.2
_RESERVED_HEADERS = re.compile(
    r"from|sender|to|cc|bcc|subject|date|message-id|mime-version|content-.*", re.IGNORECASE
)
# The addresses that email-validator accepts: no quotes, comments or names. The standard library's
# parser accepts more and fails on some of these.
_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@[\w-]+(?:\.[\w-]+)*")


@dataclass(frozen=True, slots=True)
class Email:
    """One email to one address. `message_id` (`<id@domain>`) stays the same when it is resent."""

    to: str
    subject: str
    text: str
    html: str | None
    message_id: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Mailer(Protocol):
    """Sends emails by a mail server or a service."""

    async def send(self, message: Email) -> None:
        """Send an email; return once it is accepted.

        Raises Rejected where it will never be (permanently refused address, or a line break in a
        header), DependencyUnavailable("mail") where a later attempt may succeed, and Overloaded
        where MAX_CONCURRENT_SENDS are in progress.
        """

    async def ping(self) -> None:
        """Check that the server responds, without a login. Raises DependencyUnavailable."""

    async def aclose(self) -> None:
        """Close connections that are kept between emails."""


class SmtpMailer:
    """SMTP with one connection for each email, because servers close idle connections.

    `smtp://` is never encrypted, `smtp+starttls://` and `smtps://` always are. `tls_context`
    replaces the system's certificate authorities. Raises ValueError where SMTP_URL is unusable.
    """

    def __init__(
        self, settings: MailSettings, *, tls_context: ssl.SSLContext | None = None
    ) -> None:
        if settings.smtp_url is None:
            raise ValueError("SMTP_URL is not set")
        url = urlsplit(settings.smtp_url.get_secret_value())
        if url.scheme not in _DEFAULT_PORTS or not url.hostname:
            raise ValueError("SMTP_URL must be smtp://, smtp+starttls:// or smtps:// with a host")
        self._sender = parse_sender(settings.mail_from)
        self._timeout = settings.mail_timeout
        self._scheme = url.scheme
        self._host = url.hostname
        self._port = url.port or _DEFAULT_PORTS[url.scheme]
        self._username = unquote(url.username) if url.username else None
        self._password = unquote(url.password or "") if url.username else None
        self._tls_context = tls_context
        self._bulkhead = Bulkhead("mail", max_calls=MAX_CONCURRENT_SENDS)

    async def send(self, message: Email) -> None:
        with track_send("smtp", self._host, message):
            await self._send(message)

    async def _send(self, message: Email) -> None:
        mime = build_mime(message, self._sender)
        async with self._bulkhead.call(), self._connection(login=True) as client:
            sender, recipient = self._sender.addr_spec, ascii_address(message.to)
            await _transmit(client, mime, sender, recipient)

    async def ping(self) -> None:
        async with self._connection(login=False):
            pass

    @contextlib.asynccontextmanager
    async def _connection(self, *, login: bool) -> AsyncIterator[aiosmtplib.SMTP]:
        """Connect for one exchange, bounded by MAIL_TIMEOUT. Raises DependencyUnavailable."""
        client = await self._client(login=login)
        try:
            async with asyncio.timeout(self._timeout):
                await client.connect()
                yield client
        except (aiosmtplib.SMTPException, OSError) as error:
            raise DependencyUnavailable("mail") from error
        else:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=_QUIT_TIMEOUT)
        finally:
            client.close()

    async def aclose(self) -> None:
        return None

    async def _client(self, *, login: bool) -> aiosmtplib.SMTP:
        encrypted = self._scheme != "smtp"
        if encrypted and self._tls_context is None:
            # Reading the authorities' certificates takes tens of milliseconds.
            self._tls_context = await asyncio.to_thread(ssl.create_default_context)
        return aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            # The name in EHLO. Without it the library looks up the host name in DNS.
            local_hostname=self._sender.domain,
            timeout=self._timeout,
            use_tls=self._scheme == "smtps",
            start_tls=self._scheme == "smtp+starttls",
            tls_context=self._tls_context if encrypted else None,
            username=self._username if login else None,
            password=self._password if login else None,
        )


@contextlib.contextmanager
def track_send(system: str, host: str, message: Email) -> Iterator[None]:
    """Trace and count one send; neither span nor metric holds an address or a text."""
    attributes = {
        "mail.system": system,
        "mail.message_id": message.message_id,
        "server.address": host,
    }
    outcome = "failed"
    try:
        with spans.span("mail.send", attributes, kind=SpanKind.CLIENT):
            yield
        outcome = "sent"
    except Rejected:
        outcome = "rejected"
        raise
    finally:
        metrics.mails_sent.labels(outcome).inc()


async def _transmit(
    client: aiosmtplib.SMTP, mime: EmailMessage, sender: str, recipient: str
) -> None:
    try:
        await client.send_message(mime, sender=sender, recipients=[recipient])
    except aiosmtplib.SMTPRecipientsRefused as error:
        codes = [refusal.code for refusal in error.recipients]
        if all(code in _PERMANENT_ERRORS for code in codes):
            raise Rejected(f"the recipient was refused ({codes[0]})") from error
        raise
    except (aiosmtplib.SMTPNotSupported, ValueError) as error:
        # The server accepts only ASCII local parts, or the library cannot send this one.
        raise Rejected("the recipient's address cannot be used") from error


def parse_sender(mail_from: str) -> Address:
    """Parse `Name <address>` or an address. Raises ValueError."""
    pairs = getaddresses([mail_from])
    if len(pairs) != 1 or not _ADDRESS.fullmatch(pairs[0][1]):
        raise ValueError("MAIL_FROM must be an address, as in `Name <address>`")
    name, address = pairs[0]
    return _address(address, name)


def validate_headers(message: Email) -> None:
    """Raise Rejected for reserved or invalid header names, line breaks and bad recipients."""
    lines = [message.to, message.subject, message.message_id]
    for name, value in message.headers.items():
        if not _HEADER_NAME.fullmatch(name) or _RESERVED_HEADERS.fullmatch(name):
            raise Rejected("a header's name is not allowed")
        lines.append(value)
    if any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for line in lines for char in line):
        raise Rejected("a header holds a line break or another control character")
    if not _ADDRESS.fullmatch(message.to):
        raise Rejected("the recipient is not one address")


def build_mime(message: Email, sender: Address) -> EmailMessage:
    """Build the MIME message: text, and HTML as the alternative. Raises Rejected."""
    validate_headers(message)
    mime = EmailMessage(policy=SMTP)
    mime["From"] = sender
    mime["To"] = _address(message.to)
    mime["Subject"] = message.subject
    mime["Date"] = format_datetime(datetime.now(UTC))
    mime["Message-ID"] = message.message_id
    for name, value in message.headers.items():
        mime[name] = value
    mime.set_content(message.text, cte=_choose_encoding(message.text))
    if message.html is not None:
        mime.add_alternative(message.html, subtype="html", cte=_choose_encoding(message.html))
    return mime


def _choose_encoding(text: str) -> str | None:
    """Return the Content-Transfer-Encoding that leaves every line, and so every link, as it is.

    None, which lets the library choose, where a line is too long for that. For a server without
    8BITMIME (RFC 6152), aiosmtplib encodes an 8-bit body as base64.
    """
    if any(len(line.encode()) > _MAX_LINE_BYTES for line in text.splitlines()):
        return None
    return "7bit" if text.isascii() else "8bit"


def _address(address: str, name: str = "") -> Address:
    """Return it with its domain as A-labels, which every server accepts (RFC 5891 section 4.4)."""
    username, _, domain = ascii_address(address).rpartition("@")
    return Address(display_name=name, username=username, domain=domain)
