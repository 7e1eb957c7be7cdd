"""Delivery of emails by SendGrid's API, version 3."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import Any

import httpx

from twelvefold.contracts.email_address import ascii_address
from twelvefold.errors import DependencyUnavailable, Rejected
from twelvefold.resilience.circuit_breaker import Bulkhead
from twelvefold.settings import MailSettings

from .mailer import MAX_CONCURRENT_SENDS, Email, parse_sender, track_send, validate_headers

SENDGRID_URL = "https://api.sendgrid.com"
MAX_RETRY_AFTER = 300  # seconds


class SendGridMailer:
    """SendGrid's v3 API. `base_url` differs in tests and for SendGrid's EU region.

    SendGrid does not detect duplicates. The Message-ID is sent as a header, for receivers, and as
    the custom argument `message_id`, for SendGrid's event log. Raises ValueError without an API
    key.
    """

    def __init__(self, settings: MailSettings, *, base_url: str = SENDGRID_URL) -> None:
        if settings.sendgrid_api_key is None:
            raise ValueError("SENDGRID_API_KEY is not set")
        self._sender = parse_sender(settings.mail_from)
        self._timeout = settings.mail_timeout
        self._base_url = base_url.rstrip("/")
        self._key = settings.sendgrid_api_key
        self._bulkhead = Bulkhead("mail", max_calls=MAX_CONCURRENT_SENDS)
        self._opening = asyncio.Lock()
        self._client: httpx.AsyncClient | None = None

    async def send(self, message: Email) -> None:
        with track_send("sendgrid", httpx.URL(self._base_url).host, message):
            await self._send(message)

    async def _send(self, message: Email) -> None:
        validate_headers(message)
        content = [{"type": "text/plain", "value": message.text}]
        if message.html is not None:
            content.append({"type": "text/html", "value": message.html})
        body = {
            "personalizations": [
                {
                    "to": [{"email": ascii_address(message.to)}],
                    "custom_args": {"message_id": message.message_id},
                }
            ],
            "from": {"email": self._sender.addr_spec, "name": self._sender.display_name},
            "subject": message.subject,
            "content": content,
            "headers": {**message.headers, "Message-ID": message.message_id},
            # Links hold one-time tokens, which SendGrid must neither see nor follow.
            "tracking_settings": {
                "click_tracking": {"enable": False, "enable_text": False},
                "open_tracking": {"enable": False},
            },
        }
        authorization = {"Authorization": f"Bearer {self._key.get_secret_value()}"}
        async with self._bulkhead.call():
            await self._deliver(body, authorization)

    async def _deliver(self, body: dict[str, Any], authorization: dict[str, str]) -> None:
        response = await self._request("POST", "/v3/mail/send", json=body, headers=authorization)
        if response.status_code in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
            raise Rejected(f"the email was refused ({response.status_code})")
        if not response.is_success:
            # Also 401 and 403: an operator can replace the key while emails are retried.
            raise DependencyUnavailable("mail", retry_after=_retry_after(response))

    async def ping(self) -> None:
        response = await self._request("HEAD", "/")
        if response.is_server_error:
            raise DependencyUnavailable("mail")

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            async with asyncio.timeout(self._timeout):
                async with self._opening:
                    if self._client is None:
                        # Reading the authorities' certificates takes tens of milliseconds.
                        self._client = await asyncio.to_thread(
                            httpx.AsyncClient, timeout=self._timeout
                        )
                return await self._client.request(method, self._base_url + path, **arguments)
        except (httpx.HTTPError, TimeoutError) as error:
            raise DependencyUnavailable("mail") from error


def _retry_after(response: httpx.Response) -> int:
    """Return the seconds to wait, from Retry-After or X-RateLimit-Reset (a Unix time)."""
    retry_after = response.headers.get("Retry-After", "")
    reset = response.headers.get("X-RateLimit-Reset", "")
    seconds = 2
    if retry_after.isdecimal():
        seconds = int(retry_after)
    elif reset.isdecimal():
        seconds = int(reset) - int(time.time())
    return max(1, min(seconds, MAX_RETRY_AFTER))
