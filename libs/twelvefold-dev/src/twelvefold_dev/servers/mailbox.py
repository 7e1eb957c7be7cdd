"""Reads what the mail catcher has caught, for tests and for the demo."""

from __future__ import annotations

import asyncio
import email.policy
import time
from collections.abc import Callable
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

from twelvefold.contracts.email_address import ascii_address

from .mail_catcher import caught

_POLL = 0.02
_PARSER = BytesParser(policy=email.policy.default)  # of this policy every message is EmailMessage


class Mailbox:
    """A view of one folder of mails. Several readers may share a folder; look by recipient."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parsed: dict[Path, EmailMessage] = {}

    def messages(self) -> list[EmailMessage]:
        """All mails in the order of their arrival."""
        for path in caught(self.folder):
            if path not in self._parsed:
                self._parsed[path] = _parse(path)
        return [self._parsed[path] for path in sorted(self._parsed)]

    def to(self, address: str) -> list[EmailMessage]:
        """Those delivered to `address`, as the envelope says."""
        wanted = ascii_address(address)  # as the mailer writes it
        return [message for message in self.messages() if wanted in _recipients(message)]

    async def wait_for(
        self,
        predicate: Callable[[EmailMessage], bool],
        timeout: float = 10.0,  # noqa: ASYNC109 (says what it waited for; a cancelled wait cannot)
    ) -> EmailMessage:
        """The first mail of which `predicate` holds. Raises TimeoutError after `timeout` s."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for message in self.messages():
                if predicate(message):
                    return message
            await asyncio.sleep(_POLL)
        subjects = [f"{message['Subject']} to {message['To']}" for message in self.messages()]
        raise TimeoutError(f"no such mail within {timeout} s; caught: {subjects}")


def _parse(path: Path) -> EmailMessage:
    with path.open("rb") as file:
        return _PARSER.parse(file)


def _recipients(message: EmailMessage) -> list[str]:
    return [address.strip() for address in str(message["X-Envelope-To"]).split(",")]
