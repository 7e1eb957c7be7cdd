"""Reader of the caught emails, for tests and for the demo."""

from __future__ import annotations

import asyncio
import email.policy
import time
from collections.abc import Callable
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

from twelvefold.contracts.email_address import ascii_address

from .mail_catcher import list_emails

_POLL_INTERVAL = 0.02  # seconds
_PARSER = BytesParser(policy=email.policy.default)  # this policy makes each message EmailMessage


class Mailbox:
    """The emails in one folder, which several readers may share; select by recipient."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parsed: dict[Path, EmailMessage] = {}

    def messages(self) -> list[EmailMessage]:
        """Return all emails in the order of arrival."""
        for path in list_emails(self.folder):
            if path not in self._parsed:
                self._parsed[path] = _parse(path)
        return [self._parsed[path] for path in sorted(self._parsed)]

    def to(self, address: str) -> list[EmailMessage]:
        """Return the emails whose envelope names `address` as a recipient."""
        wanted = ascii_address(address)  # the form that the mailer writes
        return [message for message in self.messages() if wanted in _recipients(message)]

    async def wait_for(
        self,
        predicate: Callable[[EmailMessage], bool],
        timeout: float = 10.0,  # noqa: ASYNC109 (the error names the caught emails)
    ) -> EmailMessage:
        """Return the first email that fulfils `predicate`.

        Raises TimeoutError after `timeout` seconds without one.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for message in self.messages():
                if predicate(message):
                    return message
            await asyncio.sleep(_POLL_INTERVAL)
        subjects = [f"{message['Subject']} to {message['To']}" for message in self.messages()]
        raise TimeoutError(f"no such email within {timeout} s; caught: {subjects}")


def _parse(path: Path) -> EmailMessage:
    with path.open("rb") as file:
        return _PARSER.parse(file)


def _recipients(message: EmailMessage) -> list[str]:
    return [address.strip() for address in str(message["X-Envelope-To"]).split(",")]
