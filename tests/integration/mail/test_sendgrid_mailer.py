"""The SendGrid mailer: key, body, refusals, pauses and timeouts."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from pydantic import SecretStr
from tests.fakes.sendgrid import open_sendgrid

from twelvefold.errors import DependencyUnavailable, Rejected
from twelvefold.mail.mailer import Email
from twelvefold.mail.sendgrid import SendGridMailer
from twelvefold.settings import Environment, MailSettings

MESSAGE = Email(
    to="ada@example.org",
    subject="Welcome",
    text="Hello Ada",
    html="<p>Hello Ada</p>",
    message_id="<1@twelvefold.example>",
)


def settings(*, sendgrid_api_key: str = "SG.key", mail_timeout: float = 5) -> MailSettings:
    return MailSettings(
        environment=Environment.TESTING,
        mail_from="Twelvefold <no-reply@twelvefold.example>",
        mail_timeout=mail_timeout,
        sendgrid_api_key=SecretStr(sendgrid_api_key),
    )


async def test_sendgrid_gets_the_key_and_the_email_with_its_message_id() -> None:
    async with open_sendgrid(key="SG.key") as server:
        mailer = SendGridMailer(settings(), base_url=server.url)
        await mailer.send(replace(MESSAGE, headers={"Auto-Submitted": "auto-generated"}))
        await mailer.aclose()
    assert server.accepted == [
        {
            "personalizations": [
                {
                    "to": [{"email": "ada@example.org"}],
                    "custom_args": {"message_id": "<1@twelvefold.example>"},
                }
            ],
            "from": {"email": "no-reply@twelvefold.example", "name": "Twelvefold"},
            "subject": "Welcome",
            "content": [
                {"type": "text/plain", "value": "Hello Ada"},
                {"type": "text/html", "value": "<p>Hello Ada</p>"},
            ],
            "headers": {
                "Auto-Submitted": "auto-generated",
                "Message-ID": "<1@twelvefold.example>",
            },
            "tracking_settings": {
                "click_tracking": {"enable": False, "enable_text": False},
                "open_tracking": {"enable": False},
            },
        }
    ]


async def test_sendgrid_is_given_an_international_domain_in_ascii() -> None:
    async with open_sendgrid(key="SG.key") as server:
        mailer = SendGridMailer(settings(), base_url=server.url)
        await mailer.send(replace(MESSAGE, to="ada@b\u00fccher.example"))
        await mailer.aclose()
    (mail,) = server.accepted
    assert mail["personalizations"][0]["to"] == [{"email": "ada@xn--bcher-kva.example"}]


@pytest.mark.parametrize("status", [400, 413])
async def test_a_refusal_by_sendgrid_is_permanent(status) -> None:
    async with open_sendgrid(key="SG.key") as server:
        server.answer = status, {}
        mailer = SendGridMailer(settings(), base_url=server.url)
        with pytest.raises(Rejected):
            await mailer.send(MESSAGE)
        await mailer.aclose()


@pytest.mark.parametrize("status", [301, 403, 404, 429, 500, 502, 503])
async def test_a_failure_of_sendgrid_is_temporary(status) -> None:
    async with open_sendgrid(key="SG.key") as server:
        server.answer = status, {}
        mailer = SendGridMailer(settings(), base_url=server.url)
        with pytest.raises(DependencyUnavailable):
            await mailer.send(MESSAGE)
        await mailer.aclose()


async def test_a_wrong_sendgrid_key_is_a_temporary_failure() -> None:
    async with open_sendgrid(key="SG.key") as server:
        mailer = SendGridMailer(settings(sendgrid_api_key="SG.wrong"), base_url=server.url)
        with pytest.raises(DependencyUnavailable):
            await mailer.send(MESSAGE)
        await mailer.aclose()
    assert server.accepted == []


async def test_sendgrid_sets_the_time_to_wait() -> None:
    async with open_sendgrid(key="SG.key") as server:
        mailer = SendGridMailer(settings(), base_url=server.url)
        pauses = []
        for headers in (
            {"Retry-After": "17"},
            {"X-RateLimit-Reset": str(int(time.time()) + 60)},
            {"X-RateLimit-Reset": "1"},  # long past
            {"Retry-After": "999999"},
        ):
            server.answer = 429, headers
            with pytest.raises(DependencyUnavailable) as caught:
                await mailer.send(MESSAGE)
            pauses.append(int(caught.value.headers["Retry-After"]))
        await mailer.aclose()
    assert pauses[0] == 17
    assert 58 <= pauses[1] <= 60
    assert pauses[2:] == [1, 300]


async def test_an_unavailable_or_unresponsive_sendgrid_is_reported_within_the_timeout(
    unused_tcp_port,
) -> None:
    async with open_sendgrid(key="SG.key") as server:
        server.stalled = True
        for url in (server.url, f"http://127.0.0.1:{unused_tcp_port}"):
            impatient = settings(mail_timeout=0.5)
            mailer = SendGridMailer(impatient, base_url=url)
            began = time.monotonic()
            with pytest.raises(DependencyUnavailable):
                await mailer.send(MESSAGE)
            with pytest.raises(DependencyUnavailable):
                await mailer.ping()
            assert time.monotonic() - began < 3
            await mailer.aclose()
