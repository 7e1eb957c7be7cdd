"""Emails about changes of an account's credentials (OWASP ASVS 5.0, 6.3.7).

Owns their recipients. They go to verified addresses only, so that a change of one's own account
cannot send email to a third party.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from twelvefold.contracts.accounts import EmailContent
from twelvefold.contracts.email_address import email_key
from twelvefold.contracts.jobs import EMAIL_SEND, EmailSend, EmailTemplate
from twelvefold.database.database import Transaction
from twelvefold.errors import NotFound
from twelvefold.jobs import JobQueue
from users.repository import accounts, reservations
from users.repository import notices as repository
from users.repository.accounts import AccountRecord

NOTICES = frozenset({EmailTemplate.EMAIL_CHANGED, EmailTemplate.PASSWORD_CHANGED})
UNDO_LIFETIME = timedelta(days=7)  # of a former address; longer than the retries of any email


@dataclass(frozen=True, slots=True)
class SecurityNotifications:
    """The use cases; the commit of a change queues its email."""

    jobs: JobQueue

    async def password_changed(self, transaction: Transaction, account: AccountRecord) -> None:
        if account.email_verified:
            await self._enqueue(transaction, account.id, EmailTemplate.PASSWORD_CHANGED)

    async def email_changed(
        self, transaction: Transaction, before: AccountRecord, after: AccountRecord
    ) -> None:
        """Queue an email to the address `before`, whose owner may not know about the change.

        The address is reserved for as long as the change can be undone.
        """
        if not before.email_verified or email_key(before.email) == email_key(after.email):
            return
        await reservations.reserve(transaction, before.id, before.email, UNDO_LIFETIME)
        job_id = await self._enqueue(transaction, before.id, EmailTemplate.EMAIL_CHANGED)
        await repository.insert_notice(
            transaction,
            job_id=job_id,
            account_id=before.id,
            email=before.email,
            lifetime=UNDO_LIFETIME,
        )

    async def content(
        self, transaction: Transaction, job_id: UUID, mail: EmailSend
    ) -> EmailContent:
        """Return the recipient. Raises NotFound where the account is deleted or disabled."""
        recipient = await accounts.recipient(transaction, mail.user_id)
        if recipient is None:
            raise NotFound("The account does not exist.")
        if mail.template is EmailTemplate.PASSWORD_CHANGED:
            name = recipient.name if recipient.verified else ""
            return EmailContent(to=recipient.email, name=name)
        address = await repository.address(transaction, job_id)
        if address is None:
            raise NotFound("The email is no longer needed.")
        return EmailContent(to=address, name=recipient.name)

    async def _enqueue(
        self, transaction: Transaction, account_id: UUID, template: EmailTemplate
    ) -> UUID:
        payload = EmailSend(template=template, user_id=account_id)
        return await self.jobs.enqueue(transaction, EMAIL_SEND, payload)
