"""Changes of an account's address: request them, and undo them from the former address.

A change takes effect once the new address has confirmed it (`email_links`). The former address, if
it was verified, gets an email with a link that undoes the change, and is reserved for a week: an
attacker who changed the address of a stolen account cannot keep the account.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from twelvefold.contracts.jobs import EMAIL_SEND, EmailSend, EmailTemplate
from twelvefold.database.database import Database, retry_once
from twelvefold.errors import NotFound
from twelvefold.jobs import JobQueue
from twelvefold.security.passwords import PasswordHasher
from twelvefold.security.revocation import RevocationList
from users.repository import accounts, credentials, email_tokens, reservations, sessions
from users.service.cached import CachedAccounts
from users.service.emails.email_links import CHANGE, RESET, UNDO, VERIFY, invalid_link
from users.service.emails.recipients import RecipientLimit
from users.service.sessions import hashed, new_secret


@dataclass(frozen=True, slots=True)
class EmailChanges:
    """The use cases."""

    database: Database
    cached: CachedAccounts
    jobs: JobQueue
    hasher: PasswordHasher
    revocations: RevocationList
    recipients: RecipientLimit

    async def request(self, account_id: UUID, email: str) -> None:
        """Queue the email to the new address, which takes effect once its link was used.

        An address of another account is accepted like any other, and no email is sent to it.
        Raises NotFound, and TooManyRequests where too many of them were sent to the address.
        """
        await self.recipients.admit(CHANGE, email)
        await self._enqueue(account_id, email)

    @retry_once
    async def _enqueue(self, account_id: UUID, email: str) -> None:
        async with self.database.transaction() as transaction:
            account = await accounts.lock(transaction, account_id)
            if account is None or account.disabled:
                raise NotFound("The account does not exist.")
            await email_tokens.request_address(transaction, account_id, email)
            payload = EmailSend(template=EmailTemplate.CHANGE_EMAIL, user_id=account_id)
            await self.jobs.enqueue(transaction, EMAIL_SEND, payload)

    async def undo(self, token: str) -> None:
        """Restore the account's address that the link was sent to.

        Ends every session, link, pending change and the undo of later changes; voids the password
        and emails a reset link. The undo of earlier changes stays: an attacker who changed the
        address twice cannot end the owner's undo by undoing the second change. Raises BadRequest
        for an invalid token, Overloaded where too many passwords are being hashed.
        """
        async with self.database.read() as reader:
            link = await email_tokens.find_open(reader, hashed(token))
        if link is None or link.purpose != UNDO:
            raise invalid_link()
        account_id = link.account_id
        no_password = await self.hasher.hash(new_secret())  # of an unknown secret
        async with self.database.transaction() as transaction:
            account = await accounts.lock(transaction, account_id)
            reservation = await reservations.find(transaction, account_id, link.email)
            still_open = await email_tokens.find_open(transaction, hashed(token))
            if account is None or account.disabled or not reservation or not still_open:
                raise invalid_link()
            released = await reservations.release_since(
                transaction, account_id, reservation.created_at
            )
            await email_tokens.consume_sent_to(transaction, account_id, UNDO, released)
            for purpose in (VERIFY, RESET, CHANGE):
                await email_tokens.consume(transaction, account_id, purpose)
            await email_tokens.forget_pending_address(transaction, account_id)
            if await accounts.take_address(transaction, account_id, reservation.email) is None:
                raise invalid_link()  # the previous release makes no reservations
            changed = await credentials.set_password(transaction, account_id, no_password)
            ended = await sessions.revoke_all(transaction, account_id)
            reset = EmailSend(template=EmailTemplate.RESET, user_id=account_id)
            await self.jobs.enqueue(transaction, EMAIL_SEND, reset)
            effects = self.cached.after(
                transaction, changed or account, partial(self.revocations.revoke, *ended)
            )
        await effects.finished()
