"""The job kind `email.send`."""

from __future__ import annotations

from dataclasses import dataclass

from twelvefold.contracts.jobs import EmailSend
from twelvefold.errors import NotFound, Rejected
from twelvefold.mail.brand import Brand
from twelvefold.mail.mailer import Mailer
from twelvefold.mail.rendering import render_email
from worker.owners import OwnerClient
from worker.service.job_context import JobContext


@dataclass(frozen=True, slots=True)
class EmailSender:
    """Send emails. Their content is fetched on sending, so that no row contains a link."""

    owners: OwnerClient
    mailer: Mailer
    sender: str
    brand: Brand

    async def send(self, job: JobContext, email: EmailSend) -> None:
        """Send one email.

        Raises Rejected where the account was deleted or the mail server rejects the address, and
        DependencyUnavailable where users or the mail server is unavailable.
        """
        try:
            content = await self.owners.email_content(job.id, email)
        except NotFound as error:
            raise Rejected("the email is no longer needed") from error
        message = render_email(
            email.template.value,
            content,
            package="worker",
            job_id=job.id,
            sender=self.sender,
            brand=self.brand,
        )
        job.require_lease()
        await self.mailer.send(message)
