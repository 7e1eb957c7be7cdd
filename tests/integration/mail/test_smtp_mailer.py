"""The SMTP mailer: encryption, logins, refusals and timeouts."""

from __future__ import annotations

import asyncio
import datetime as dt
import email.policy
import ipaddress
import ssl
import time
from dataclasses import replace
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.fakes.smtp import open_smtp

from twelvefold.errors import DependencyUnavailable, Rejected
from twelvefold.mail.mailer import Email, SmtpMailer
from twelvefold.settings import Environment, MailSettings

MESSAGE = Email(
    to="ada@example.org",
    subject="Welcome",
    text="Hello Ada",
    html="<p>Hello Ada</p>",
    message_id="<1@twelvefold.example>",
)


def settings(**values: Any) -> MailSettings:
    given: dict[str, Any] = {
        "mail_from": "Twelvefold <no-reply@twelvefold.example>",
        "mail_timeout": 5,
    }
    given |= {"sendgrid_api_key": None} if "smtp_url" in values else {}
    return MailSettings(environment=Environment.TESTING, **{**given, **values})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A private key and a self-signed certificate for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def server_tls(certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusting(certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


async def test_smtp_gets_the_email_and_the_bare_addresses(trusting) -> None:
    async with open_smtp() as server:
        await SmtpMailer(settings(smtp_url=f"smtp://127.0.0.1:{server.port}")).send(MESSAGE)
    message = BytesParser(policy=email.policy.default).parsebytes(server.emails[0])
    assert message["From"] == "Twelvefold <no-reply@twelvefold.example>"
    assert message["To"] == "ada@example.org"
    assert message["Date"]
    assert message.get_content_type() == "multipart/alternative"
    assert server.emails[0].isascii()


LINK = f"http://127.0.0.1:8000/reset-password?token={'aB3-' * 20}"


@pytest.mark.parametrize("name", ["Ada", "Zoë"])
async def test_a_link_can_be_copied_from_the_email_as_it_was_received(name) -> None:
    text, html = f"Hello {name}\n\n{LINK}", f'<p>Hello {name}</p><a href="{LINK}">Reset</a>'
    async with open_smtp() as server:
        mailer = SmtpMailer(settings(smtp_url=f"smtp://127.0.0.1:{server.port}"))
        await mailer.send(replace(MESSAGE, text=text, html=html))
    raw = server.emails[0].decode()
    assert raw.count(LINK) == 2
    message = BytesParser(policy=email.policy.default).parsebytes(server.emails[0])
    body = message.get_body(("plain",))
    assert body is not None
    assert body.get_content().strip().splitlines() == text.splitlines()


async def test_a_server_without_8bitmime_gets_an_ascii_email() -> None:
    text = f"Hello Zoë\n\n{LINK}"
    async with open_smtp(eight_bits=False) as server:
        mailer = SmtpMailer(settings(smtp_url=f"smtp://127.0.0.1:{server.port}"))
        await mailer.send(replace(MESSAGE, text=text))
    assert server.emails[0].isascii()
    message = BytesParser(policy=email.policy.default).parsebytes(server.emails[0])
    body = message.get_body(("plain",))
    assert body is not None
    assert body.get_content().strip().splitlines() == text.splitlines()


async def test_a_line_beyond_the_limit_of_smtp_arrives_whole() -> None:
    text = f"Hello Ada\n\n{LINK * 12}"
    async with open_smtp() as server:
        mailer = SmtpMailer(settings(smtp_url=f"smtp://127.0.0.1:{server.port}"))
        await mailer.send(replace(MESSAGE, text=text))
    assert max(map(len, server.emails[0].splitlines())) <= 998
    message = BytesParser(policy=email.policy.default).parsebytes(server.emails[0])
    body = message.get_body(("plain",))
    assert body is not None
    assert body.get_content().strip().splitlines() == text.splitlines()


async def test_starttls_encrypts_the_email(server_tls, trusting) -> None:
    async with open_smtp(starttls=server_tls) as server:
        url = f"smtp+starttls://127.0.0.1:{server.port}"
        mailer = SmtpMailer(settings(smtp_url=url), tls_context=trusting)
        await mailer.ping()
        await mailer.send(MESSAGE)
    assert server.encrypted == [True]


async def test_smtps_encrypts_the_email(server_tls, trusting) -> None:
    async with open_smtp(tls=server_tls) as server:
        url = f"smtps://127.0.0.1:{server.port}"
        mailer = SmtpMailer(settings(smtp_url=url), tls_context=trusting)
        await mailer.ping()
        await mailer.send(MESSAGE)
    assert len(server.emails) == 1


async def test_starttls_is_required(trusting) -> None:
    async with open_smtp(with_login=True) as server:
        url = f"smtp+starttls://me:right@127.0.0.1:{server.port}"
        mailer = SmtpMailer(settings(smtp_url=url), tls_context=trusting)
        with pytest.raises(DependencyUnavailable):
            await mailer.send(MESSAGE)
    assert server.emails == []
    assert server.logins == []


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
async def test_a_server_that_cannot_prove_its_name_gets_nothing(server_tls, scheme) -> None:
    how = {"tls": server_tls} if scheme == "smtps" else {"starttls": server_tls}
    async with open_smtp(**how, with_login=True) as server:
        url = f"{scheme}://me:right@127.0.0.1:{server.port}"
        with pytest.raises(DependencyUnavailable):
            await SmtpMailer(settings(smtp_url=url)).send(MESSAGE)
    assert server.emails == []
    assert server.logins == []


async def test_credentials_of_the_url_are_decoded_and_used() -> None:
    async with open_smtp(with_login=True) as server:
        url = f"smtp://me%40example.org:right@127.0.0.1:{server.port}"
        mailer = SmtpMailer(settings(smtp_url=url))
        await mailer.send(MESSAGE)
        await mailer.ping()
    assert server.logins == [("me@example.org", "right")], "a ping does not log in"
    assert len(server.emails) == 1


async def test_a_wrong_password_is_a_temporary_failure() -> None:
    async with open_smtp(with_login=True) as server:
        url = f"smtp://me:wrong@127.0.0.1:{server.port}"
        with pytest.raises(DependencyUnavailable):
            await SmtpMailer(settings(smtp_url=url)).send(MESSAGE)


@pytest.mark.parametrize("reply", ["550 5.1.1 No such user", "553 5.1.3 Not an address"])
async def test_a_recipient_that_does_not_exist_is_refused_permanently(reply) -> None:
    async with open_smtp() as server:
        server.replies["RCPT"] = reply
        mailer = SmtpMailer(settings(smtp_url=f"smtp://127.0.0.1:{server.port}"))
        with pytest.raises(Rejected) as caught:
            await mailer.send(MESSAGE)
    assert MESSAGE.to not in caught.value.detail
    assert reply[:3] in caught.value.detail


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("RCPT", "451 4.7.1 Greylisted"),
        ("RCPT", "452 4.2.2 Mailbox full"),
        ("MAIL", "550 5.7.1 Sender not allowed"),
        ("DATA", "451 4.3.0 Try again"),
        ("DATA", "554 5.7.1 Your address is on a list"),
    ],
)
async def test_any_other_refusal_is_temporary(command, reply) -> None:
    async with open_smtp() as server:
        server.replies[command] = reply
        mailer = SmtpMailer(settings(smtp_url=f"smtp://127.0.0.1:{server.port}"))
        with pytest.raises(DependencyUnavailable):
            await mailer.send(MESSAGE)


async def test_an_international_domain_needs_no_smtputf8() -> None:
    sender = "Twelvefold <no-reply@b\u00fccher.example>"
    async with open_smtp() as server:  # without SMTPUTF8
        url = f"smtp://127.0.0.1:{server.port}"
        mailer = SmtpMailer(settings(smtp_url=url, mail_from=sender))
        await mailer.send(replace(MESSAGE, to="ada@b\u00fccher.example"))
    message = BytesParser(policy=email.policy.default).parsebytes(server.emails[0])
    assert message["To"] == "ada@xn--bcher-kva.example"
    assert message["From"] == "Twelvefold <no-reply@xn--bcher-kva.example>"
    assert server.recipients == ["ada@xn--bcher-kva.example"]
    assert server.emails[0].isascii()


async def test_the_mail_catcher_finds_an_email_by_either_spelling(smtp_url, mailbox) -> None:
    name = uuid4().hex
    await SmtpMailer(settings(smtp_url=smtp_url)).send(
        replace(MESSAGE, to=f"{name}@b\u00fccher.example")
    )
    for domain in ("b\u00fccher.example", "xn--bcher-kva.example"):
        assert len(mailbox.to(f"{name}@{domain}")) == 1


async def test_a_local_part_beyond_ascii_needs_smtputf8(smtp_url) -> None:
    async with open_smtp() as server:  # without SMTPUTF8
        mailer = SmtpMailer(settings(smtp_url=f"smtp://127.0.0.1:{server.port}"))
        with pytest.raises(Rejected):
            await mailer.send(replace(MESSAGE, to="zoë@example.org"))
    await SmtpMailer(settings(smtp_url=smtp_url)).send(replace(MESSAGE, to="zoë@example.org"))


async def test_an_unavailable_mail_server_is_reported(unused_tcp_port) -> None:
    mailer = SmtpMailer(settings(smtp_url=f"smtp://127.0.0.1:{unused_tcp_port}"))
    with pytest.raises(DependencyUnavailable):
        await mailer.send(MESSAGE)
    with pytest.raises(DependencyUnavailable):
        await mailer.ping()


async def test_an_unresponsive_mail_server_costs_no_more_than_the_timeout() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client closes the connection
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        mailer = SmtpMailer(settings(smtp_url=f"smtp://127.0.0.1:{port}", mail_timeout=0.5))
        began = time.monotonic()
        with pytest.raises(DependencyUnavailable):
            await mailer.send(MESSAGE)
        assert 0.4 < time.monotonic() - began < 2


@pytest.mark.parametrize("url", ["http://mail", "mail.example:25", "smtp://", "smtp+tls://mail"])
def test_a_url_that_is_no_mail_server_is_refused_at_once(url) -> None:
    with pytest.raises(ValueError, match="SMTP_URL"):
        SmtpMailer(settings(smtp_url=url))


@pytest.mark.parametrize("sender", ["", "Twelvefold", "a@b.example, c@d.example"])
def test_a_sender_without_an_address_is_refused_at_once(sender) -> None:
    given = settings(smtp_url="smtp://mail").model_copy(update={"mail_from": sender})
    with pytest.raises(ValueError, match="MAIL_FROM"):
        SmtpMailer(given)
