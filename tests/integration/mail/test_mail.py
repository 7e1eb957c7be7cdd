"""The conformance suite of mailers, run over each implementation, the fake included."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest
from tests.fakes.mail import RecordingMailer
from tests.fakes.sendgrid import open_sendgrid

from twelvefold.errors import Rejected
from twelvefold.mail.mailer import Email, Mailer, SmtpMailer
from twelvefold.mail.sendgrid import SendGridMailer
from twelvefold.settings import Environment, MailSettings
from twelvefold_dev.servers.mailbox import Mailbox

SENDER = "Twelvefold <no-reply@twelvefold.example>"


@dataclass(frozen=True)
class Delivered:
    """What a receiver sees, whichever mailer sent it."""

    sender: str
    subject: str
    text: str
    html: str | None
    message_id: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Post:
    """A mailer, and the emails that have arrived for an address."""

    mailer: Mailer
    delivered: Callable[[str], list[Delivered]]


def by_smtp(mailbox: Mailbox) -> Callable[[str], list[Delivered]]:
    def read(email: Any) -> Delivered:
        text = email.get_body(("plain",))
        html = email.get_body(("html",))
        return Delivered(
            sender=str(email["From"]),
            subject=str(email["Subject"]),
            text=text.get_content().strip(),
            html=html.get_content().strip() if html else None,
            message_id=str(email["Message-ID"]),
            headers={name: str(value) for name, value in email.items()},
        )

    return lambda address: [read(message) for message in mailbox.to(address)]


def by_sendgrid(accepted: list[dict[str, Any]]) -> Callable[[str], list[Delivered]]:
    def read(email: dict[str, Any]) -> Delivered:
        parts = {part["type"]: part["value"].strip() for part in email["content"]}
        return Delivered(
            sender=f"{email['from']['name']} <{email['from']['email']}>",
            subject=email["subject"],
            text=parts["text/plain"],
            html=parts.get("text/html"),
            message_id=email["headers"]["Message-ID"],
            headers=email["headers"],
        )

    return lambda address: [
        read(email)
        for email in accepted
        if email["personalizations"][0]["to"] == [{"email": address}]
    ]


def by_record(mailer: RecordingMailer) -> Callable[[str], list[Delivered]]:
    return lambda address: [
        Delivered(
            sender=SENDER,
            subject=message.subject,
            text=message.text.strip(),
            html=message.html.strip() if message.html else None,
            message_id=message.message_id,
            headers=dict(message.headers),
        )
        for message in mailer.sent
        if message.to == address
    ]


@pytest.fixture(params=["smtp", "sendgrid", "memory"])
async def post(request, smtp_url, mailbox) -> AsyncIterator[Post]:
    common: dict[str, Any] = {"environment": Environment.TESTING, "mail_from": SENDER}
    if request.param == "smtp":
        smtp = SmtpMailer(MailSettings(**common, smtp_url=smtp_url, sendgrid_api_key=None))
        yield Post(smtp, by_smtp(mailbox))
        await smtp.aclose()
    elif request.param == "sendgrid":
        async with open_sendgrid(key="SG.key") as server:
            settings = MailSettings(**common, sendgrid_api_key="SG.key")
            sendgrid = SendGridMailer(settings, base_url=server.url)
            yield Post(sendgrid, by_sendgrid(server.accepted))
            await sendgrid.aclose()
    else:
        memory = RecordingMailer()
        yield Post(memory, by_record(memory))


@pytest.fixture
def message() -> Email:
    name = uuid4()
    return Email(
        to=f"{name}@example.org",
        subject="Welcome",
        text="Hello Ada",
        html="<p>Hello <b>Ada</b></p>",
        message_id=f"<{name}@twelvefold.example>",
        headers={"Auto-Submitted": "auto-generated"},
    )


async def test_an_email_arrives_as_text_and_as_html(post, message) -> None:
    await post.mailer.send(message)
    (email,) = post.delivered(message.to)
    assert email.sender == SENDER
    assert email.subject == "Welcome"
    assert email.text == "Hello Ada"
    assert email.html == "<p>Hello <b>Ada</b></p>"
    assert email.message_id == message.message_id
    assert email.headers["Auto-Submitted"] == "auto-generated"


async def test_an_email_may_be_text_alone(post, message) -> None:
    await post.mailer.send(replace(message, html=None))
    (email,) = post.delivered(message.to)
    assert email.text == "Hello Ada"
    assert email.html is None


async def test_every_language_survives(post, message) -> None:
    subject = "Grüße, Zoë: добро пожаловать, ようこそ " + "und noch viel mehr " * 8
    text = "Schöne Grüße\n.\nFrom here on: ようこそ\n" + "long " * 400
    await post.mailer.send(replace(message, subject=subject.strip(), text=text.strip()))
    (email,) = post.delivered(message.to)
    assert email.subject == subject.strip()
    assert email.text == text.strip()


async def test_an_email_sent_again_keeps_its_message_id(post, message) -> None:
    await post.mailer.send(message)
    await post.mailer.send(message)
    assert [email.message_id for email in post.delivered(message.to)] == [message.message_id] * 2


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n", "\0", "\u2028"])
@pytest.mark.parametrize("where", ["to", "subject", "message_id", "headers"])
async def test_a_line_break_in_a_header_is_refused(post, message, where, line_break) -> None:
    injected = f"x{line_break}Bcc: everybody@example.org"
    value = {"X-Name": injected} if where == "headers" else f"{getattr(message, where)}{injected}"
    with pytest.raises(Rejected):
        await post.mailer.send(replace(message, **{where: value}))
    assert post.delivered(message.to) == []
    assert post.delivered("everybody@example.org") == []


@pytest.mark.parametrize("name", ["Bcc", "to", "FROM", "Content-Type", "X Name", "X:", "", "Ünal"])
async def test_a_reserved_or_invalid_header_name_is_refused(post, message, name) -> None:
    with pytest.raises(Rejected):
        await post.mailer.send(replace(message, headers={name: "everybody@example.org"}))
    assert post.delivered(message.to) == []


@pytest.mark.parametrize(
    "to", ["", "ada", "ada@", "@example.org", "a@b.example, c@d.example", "Ada <a@b.example>"]
)
async def test_a_recipient_is_exactly_one_address(post, message, to) -> None:
    with pytest.raises(Rejected):
        await post.mailer.send(replace(message, to=to))


async def test_a_ping_sends_nothing(post, message) -> None:
    await post.mailer.ping()
    assert post.delivered(message.to) == []
    await post.mailer.send(message)
    assert len(post.delivered(message.to)) == 1
