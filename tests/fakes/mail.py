"""A mailer that keeps the emails. Held to tests/integration/mail/test_mail.py."""

from __future__ import annotations

from dataclasses import dataclass, field

from twelvefold.errors import DependencyUnavailable, Rejected
from twelvefold.mail.mailer import Email, validate_headers


@dataclass
class RecordingMailer:
    """`sent` in order. `refused` and `unavailable` make it fail as a mail server would."""

    sent: list[Email] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    unavailable: bool = False

    async def send(self, message: Email) -> None:
        validate_headers(message)
        if self.unavailable:
            raise DependencyUnavailable("mail")
        if message.to in self.refused:
            raise Rejected("the recipient was refused (550)")
        self.sent.append(message)

    async def ping(self) -> None:
        if self.unavailable:
            raise DependencyUnavailable("mail")

    async def aclose(self) -> None:
        return None
