"""Changing an account's address: asking for it, and undoing it from the address before.

A change counts once the new address has confirmed it (`emails`). The old address, where it was
proven, is told with a link, and for a week nobody else may take it: whoever changed the address of
a stolen account does not keep it.
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
        """Queues the mail to the new address, which counts once its link has been followed.

        One that somebody else has is taken like any other and refused when the mail is sent.
        Raises NotFound, and TooManyRequests where the address was sent many of them.
        """
        await self.recipients.admit(CHANGE, email)
        await self._enqueue(account_id, email)

    @retry_once
    async def _enqueue(self, account_id: UUID, email: str) -> None:
        async with self.database.transaction() as transaction:
            account = await accounts.lock(transaction, account_id)
            if account is None or account.disabled:
                raise NotFound("no such account")
            await email_tokens.request_address(transaction, account_id, email)
            payload = EmailSend(template=EmailTemplate.CHANGE_EMAIL, user_id=account_id)
            await self.jobs.enqueue(transaction, EMAIL_SEND, payload)

    async def undo(self, token: str) -> None:
        """Gives the account the address back that the link was sent to, and to nobody else.

        Ends every session, link, pending change and later change's undo; voids the password and
        mails a reset link. Undos of earlier changes stay: one who changed the address twice cannot
        end the first owner's by undoing the second. Raises BadRequest for a token that does not
        count, Overloaded where too many passwords are hashed.
        """
        async with self.database.read() as reader:
            found = await email_tokens.find_open(reader, hashed(token))
        if found is None or found.purpose != UNDO:
            raise invalid_link()
        account_id = found.account_id
        no_password = await self.hasher.hash(new_secret())  # of what nobody knows
        async with self.database.transaction() as transaction:
            account = await accounts.lock(transaction, account_id)
            reservation = await reservations.find(transaction, account_id, found.email)
            still_open = await email_tokens.find_open(transaction, hashed(token))
            if account is None or account.disabled or not reservation or not still_open:
                raise invalid_link()
            released = await reservations.release_since(
                transaction, account_id, reservation.created_at
            )
            await email_tokens.use_up_sent_to(transaction, account_id, UNDO, released)
            for purpose in (VERIFY, RESET, CHANGE):
                await email_tokens.consume(transaction, account_id, purpose)
            await email_tokens.forget_pending_address(transaction, account_id)
            if await accounts.take_address(transaction, account_id, reservation.email) is None:
                raise invalid_link()  # a previous release knew of no reservations
            changed = await credentials.set_password(transaction, account_id, no_password)
            ended = await sessions.revoke_all(transaction, account_id)
            reset = EmailSend(template=EmailTemplate.RESET, user_id=account_id)
            await self.jobs.enqueue(transaction, EMAIL_SEND, reset)
            followed = self.cached.after(
                transaction, changed or account, partial(self.revocations.revoke, *ended)
            )
        await followed.finished()
