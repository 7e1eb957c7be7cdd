"""Letters that tell an owner what has changed about their credentials (OWASP ASVS 5.0, 6.3.7).

Owns who is told and where. Only an address that was proven to be somebody's is written to, so that
nobody can have strangers mailed by changing an account of their own.
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
UNDO_LIFETIME = timedelta(days=7)  # of an address of the past; longer than any letter is tried


@dataclass(frozen=True, slots=True)
class SecurityNotifications:
    """The use cases; each letter is queued by the commit of the change that it tells of."""

    jobs: JobQueue

    async def password_changed(self, transaction: Transaction, account: AccountRecord) -> None:
        if account.email_verified:
            await self._enqueue(transaction, account.id, EmailTemplate.PASSWORD_CHANGED)

    async def email_changed(
        self, transaction: Transaction, before: AccountRecord, after: AccountRecord
    ) -> None:
        """To the address that the account had `before`: who holds it may not know of the change.

        For as long as they can undo it, nobody else may take the address.
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
        """To whom the letter goes. Raises NotFound where the account is gone or disabled."""
        addressee = await accounts.recipient(transaction, mail.user_id)
        if addressee is None:
            raise NotFound("no such account")
        if mail.template is EmailTemplate.PASSWORD_CHANGED:
            name = addressee.name if addressee.verified else ""
            return EmailContent(to=addressee.email, name=name)
        address = await repository.address(transaction, job_id)
        if address is None:
            raise NotFound("nobody is to be told any more")
        return EmailContent(to=address, name=addressee.name)

    async def _enqueue(
        self, transaction: Transaction, account_id: UUID, template: EmailTemplate
    ) -> UUID:
        payload = EmailSend(template=template, user_id=account_id)
        return await self.jobs.enqueue(transaction, EMAIL_SEND, payload)
