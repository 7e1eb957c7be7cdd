"""Sending one mail: the letter, what a refusal means, and SMTP. SendGrid is `sendgrid`'s.

Owns the form of the letter. Not the words: templates belong to the worker. Delivery is at least
once: where an answer is lost the caller sends again with the same Message-ID, by which receivers
recognise the letter.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import unicodedata
from collections.abc import Iterator, Mapping
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

MOST = 100  # letters handed over at a time by one process
_QUIT_TIMEOUT = 1.0  # seconds for a courtesy
_PERMANENT = range(500, 600)  # RFC 5321 section 4.2.1
# Nothing beyond ASCII in the body: not every server takes eight bits.
_POLICY = SMTP.clone(cte_type="7bit")
_DEFAULT_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_HEADER_NAME = re.compile(r"[!-9;-~]+")  # RFC 5322 section 2.2
_OWN_HEADERS = re.compile(
    r"from|sender|to|cc|bcc|subject|date|message-id|mime-version|content-.*", re.IGNORECASE
)
# What email-validator lets through, so without quotes, comments and names. Not the standard
# library's parser, which takes more and fails on some of the rest.
_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@[\w-]+(?:\.[\w-]+)*")


@dataclass(frozen=True, slots=True)
class Email:
    """One letter to one address. `message_id` (`<id@domain>`) stays the same when it is re-sent."""

    to: str
    subject: str
    text: str
    html: str | None
    message_id: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Mailer(Protocol):
    """Hands a letter over to whoever delivers it."""

    async def send(self, message: Email) -> None:
        """Returns once the letter is accepted.

        Raises Rejected where it never will be (the address is refused for good, or a header
        holds a line break), DependencyUnavailable("mail") where a later attempt may succeed.
        """

    async def ping(self) -> None:
        """Raises DependencyUnavailable where nobody answers. Sends nothing, logs in nowhere."""

    async def aclose(self) -> None:
        """Closes what is kept open between letters."""


class SmtpMailer:
    """A connection for each letter: SMTP servers end idle ones, and a letter is not urgent.

    `smtp://` is never encrypted, `smtp+starttls://` and `smtps://` always. `tls_context` replaces
    the system's certificate authorities.
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
        self._bulkhead = Bulkhead("mail", max_calls=MOST)

    async def send(self, message: Email) -> None:
        with sending("smtp", self._host, message):
            await self._send(message)

    async def _send(self, message: Email) -> None:
        letter = build_mime(message, self._sender)
        with self._bulkhead.call():
            await self._deliver(letter, ascii_address(message.to))

    async def _deliver(self, message: EmailMessage, recipient: str) -> None:
        client = await self._client(login=True)
        try:
            async with asyncio.timeout(self._timeout):
                await client.connect()
                await _hand_over(client, message, self._sender.addr_spec, recipient)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise DependencyUnavailable("mail") from error
        else:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=_QUIT_TIMEOUT)
        finally:
            client.close()

    async def ping(self) -> None:
        client = await self._client(login=False)
        try:
            async with asyncio.timeout(self._timeout):
                await client.connect()
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
            # Reads the authorities' certificates: tens of milliseconds.
            self._tls_context = await asyncio.to_thread(ssl.create_default_context)
        return aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            # Our name in EHLO. Without it the library asks DNS for one.
            local_hostname=self._sender.domain,
            timeout=self._timeout,
            use_tls=self._scheme == "smtps",
            start_tls=self._scheme == "smtp+starttls",
            tls_context=self._tls_context if encrypted else None,
            username=self._username if login else None,
            password=self._password if login else None,
        )


@contextlib.contextmanager
def sending(system: str, host: str, message: Email) -> Iterator[None]:
    """A span and a count; neither holds an address or a word of the letter."""
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


async def _hand_over(
    client: aiosmtplib.SMTP, message: EmailMessage, sender: str, recipient: str
) -> None:
    try:
        await client.send_message(message, sender=sender, recipients=[recipient])
    except aiosmtplib.SMTPRecipientsRefused as error:
        codes = [refusal.code for refusal in error.recipients]
        if all(code in _PERMANENT for code in codes):
            raise Rejected(f"the recipient was refused ({codes[0]})") from error
        raise
    except (aiosmtplib.SMTPNotSupported, ValueError) as error:
        # The server takes no local part beyond ASCII, or the library sees none that it can send.
        raise Rejected("the recipient's address cannot be used") from error


def parse_sender(mail_from: str) -> Address:
    """`Name <address>` or an address. Raises ValueError."""
    found = getaddresses([mail_from])
    if len(found) != 1 or not _ADDRESS.fullmatch(found[0][1]):
        raise ValueError("MAIL_FROM must be an address, as in `Name <address>`")
    name, address = found[0]
    return _address(address, name)


def validate_headers(message: Email) -> None:
    """Raises Rejected unless the headers say what they are meant to and nothing more."""
    lines = [message.to, message.subject, message.message_id]
    for name, value in message.headers.items():
        if not _HEADER_NAME.fullmatch(name) or _OWN_HEADERS.fullmatch(name):
            raise Rejected("a header's name is not allowed")
        lines.append(value)
    if any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for line in lines for char in line):
        raise Rejected("a header holds a line break or another control character")
    if not _ADDRESS.fullmatch(message.to):
        raise Rejected("the recipient is not one address")


def build_mime(message: Email, sender: Address) -> EmailMessage:
    """The letter: text, and HTML as the alternative. Raises Rejected."""
    validate_headers(message)
    letter = EmailMessage(policy=_POLICY)
    letter["From"] = sender
    letter["To"] = _address(message.to)
    letter["Subject"] = message.subject
    letter["Date"] = format_datetime(datetime.now(UTC))
    letter["Message-ID"] = message.message_id
    for name, value in message.headers.items():
        letter[name] = value
    letter.set_content(message.text)
    if message.html is not None:
        letter.add_alternative(message.html, subtype="html")
    return letter


def _address(address: str, name: str = "") -> Address:
    """With its domain as A-labels, which every server takes (RFC 5891 section 4.4)."""
    username, _, domain = ascii_address(address).rpartition("@")
    return Address(display_name=name, username=username, domain=domain)
