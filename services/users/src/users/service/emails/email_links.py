"""Mails that carry a link: asking for one, minting it when the mail is sent, using it.

Asking says nothing about whether an account exists, in words, status or work: a job is queued
either way, and the one for nobody is refused when its content is fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from urllib.parse import quote
from uuid import UUID

from twelvefold.contracts.accounts import EmailContent
from twelvefold.contracts.jobs import EMAIL_SEND, EmailSend, EmailTemplate
from twelvefold.database.database import Database, Transaction, retry_once
from twelvefold.errors import BadRequest, Conflict, FieldError, NotFound
from twelvefold.identifiers import new_id
from twelvefold.jobs import JobQueue
from twelvefold.security.passwords import PasswordHasher
from twelvefold.security.revocation import RevocationList
from users.repository import accounts, credentials, reservations, sessions
from users.repository import email_tokens as repository
from users.repository.accounts import AccountRecord
from users.repository.email_tokens import UsedToken
from users.service.cached import CachedAccounts
from users.service.emails.recipients import RecipientLimit
from users.service.emails.security_notifications import NOTICES, SecurityNotifications
from users.service.password_rules import PasswordRules
from users.service.sessions import hashed, new_secret

VERIFY, RESET, CHANGE, UNDO = "verify", "reset", "change", "undo"
# A reset is as good as a password (OWASP ASVS 6.5.5); both run from when the mail is sent.
LIFETIMES = {VERIFY: timedelta(hours=24), CHANGE: timedelta(hours=24), RESET: timedelta(minutes=10)}
_PURPOSES = {
    EmailTemplate.WELCOME: VERIFY,
    EmailTemplate.VERIFY: VERIFY,
    EmailTemplate.RESET: RESET,
    EmailTemplate.CHANGE_EMAIL: CHANGE,
}
_PAGES = {
    VERIFY: "verify-email",
    CHANGE: "verify-email",
    RESET: "reset-password",
    UNDO: "undo-email-change",
}


@dataclass(frozen=True, slots=True)
class EmailLinks:
    """The use cases. `web_url` is the base of the pages that links lead to."""

    database: Database
    cached: CachedAccounts
    jobs: JobQueue
    hasher: PasswordHasher
    revocations: RevocationList
    rules: PasswordRules
    notices: SecurityNotifications
    recipients: RecipientLimit
    web_url: str

    async def request(self, template: EmailTemplate, email: str) -> None:
        """Queues the mail to whoever has this address, if anybody.

        Raises TooManyRequests where the address was sent many of them, account or not.
        """
        await self.recipients.admit(_PURPOSES[template], email)
        await self._enqueue(template, email)

    @retry_once
    async def _enqueue(self, template: EmailTemplate, email: str) -> None:
        async with self.database.transaction() as transaction:
            account_id = await accounts.id_by_email(transaction, email) or new_id()
            payload = EmailSend(template=template, user_id=account_id)
            await self.jobs.enqueue(transaction, EMAIL_SEND, payload)

    @retry_once
    async def content(self, job_id: UUID, mail: EmailSend) -> EmailContent:
        """To whom the mail goes, and a link of its own for each time that one is asked for.

        The account's name goes to an address that was proven to be its owner's only: it is free
        text, and anybody can have the other emails sent to strangers. Raises NotFound where the
        account is gone or disabled, or needs no such mail any more.
        """
        if mail.template in NOTICES:
            async with self.database.transaction() as transaction:
                return await self._notice(transaction, job_id, mail)
        purpose = _PURPOSES[mail.template]
        token = new_secret()
        async with self.database.transaction() as transaction:
            addressee = await accounts.recipient(transaction, mail.user_id)
            if addressee is None:
                raise NotFound("no such account")
            if addressee.verified and purpose == VERIFY:
                if mail.template is EmailTemplate.VERIFY:
                    raise NotFound("the address is verified already")
                return EmailContent(to=addressee.email, name=addressee.name)
            to, name = addressee.email, addressee.name if addressee.verified else ""
            if purpose == CHANGE:
                to, name = await self._pending_address(transaction, mail.user_id), ""
            await repository.insert_token(
                transaction,
                token_hash=hashed(token),
                account_id=mail.user_id,
                purpose=purpose,
                job_id=job_id,
                email=to,
                expires=LIFETIMES[purpose],
            )
        return EmailContent(to=to, name=name, link=self._link(purpose, token))

    @retry_once
    async def confirm(self, token: str) -> None:
        """Marks the address as its owner's, and as the account's where it asked for a new one.

        Raises BadRequest for a token that does not count, Conflict where somebody else has taken
        the new address meanwhile.
        """
        account_id, purpose = await self._owner_of(token, VERIFY, CHANGE)
        async with self.database.transaction() as transaction:
            account, used = await self._consume(transaction, account_id, token, purpose)
            changed: AccountRecord | None
            if purpose == CHANGE:
                changed = await self._take_address(transaction, account_id, used.email)
                await self.notices.email_changed(transaction, account, changed)
            elif used.email != account.email:
                raise invalid_link()  # it proves an address that the account no longer has
            elif account.email_verified:
                return
            else:
                changed = await accounts.mark_verified(transaction, account_id)
            stored = self.cached.after(transaction, changed or account)
        await stored.finished()

    async def reset_password(self, token: str, password: str) -> None:
        """Sets the password and ends every session.

        Raises BadRequest as `confirm`, Invalid by the rules: the token counts again then.
        """
        account_id, _ = await self._owner_of(token, RESET)  # before the work of a hash
        async with self.database.read() as reader:
            found = await credentials.by_id(reader, account_id)
        if found is None:
            raise invalid_link()
        await self.rules.check(password, found.email)
        password_hash = await self.hasher.hash(password)
        async with self.database.transaction() as transaction:
            account, used = await self._consume(transaction, account_id, token, RESET)
            if account.disabled or used.email != account.email:
                raise invalid_link()
            changed = await credentials.set_password(transaction, account_id, password_hash)
            ended = await sessions.revoke_all(transaction, account_id)
            # Who could log in before may have asked for another address.
            await repository.consume(transaction, account_id, CHANGE)
            await repository.forget_pending_address(transaction, account_id)
            await self.notices.password_changed(transaction, account)
            followed = self.cached.after(
                transaction, changed or account, partial(self.revocations.revoke, *ended)
            )
        await followed.finished()

    async def _notice(
        self, transaction: Transaction, job_id: UUID, mail: EmailSend
    ) -> EmailContent:
        """A letter about a change; one about the address carries the link that undoes it."""
        content = await self.notices.content(transaction, job_id, mail)
        if mail.template is not EmailTemplate.EMAIL_CHANGED:
            return content
        reservation = await reservations.find(transaction, mail.user_id, content.to)
        if reservation is None:
            return content
        token = new_secret()
        await repository.insert_token(
            transaction,
            token_hash=hashed(token),
            account_id=mail.user_id,
            purpose=UNDO,
            job_id=job_id,
            email=reservation.email,
            expires=reservation.expires_at,
        )
        return content.model_copy(update={"link": self._link(UNDO, token)})

    def _link(self, purpose: str, token: str) -> str:
        return f"{self.web_url}/{_PAGES[purpose]}?token={quote(token)}"

    async def _pending_address(self, transaction: Transaction, account_id: UUID) -> str:
        asked = await repository.pending_address(transaction, account_id)
        if asked is None:
            raise NotFound("no other address is asked for any more")
        if await accounts.id_by_email(transaction, asked) not in (None, account_id):
            raise NotFound("the address is somebody else's")
        if await reservations.is_reserved(transaction, asked, except_for=account_id):
            raise NotFound("the address may become somebody else's again")
        return asked

    async def _take_address(
        self, transaction: Transaction, account_id: UUID, email: str
    ) -> AccountRecord:
        if await repository.pending_address(transaction, account_id) != email:
            raise invalid_link()  # the account has asked for yet another one since
        changed = await accounts.take_address(transaction, account_id, email)
        if changed is None:
            raise Conflict("an account with this address exists")
        await repository.forget_pending_address(transaction, account_id)
        await reservations.release(transaction, account_id, email)
        return changed

    async def _owner_of(self, token: str, *purposes: str) -> tuple[UUID, str]:
        async with self.database.read() as reader:
            found = await repository.find_open(reader, hashed(token))
        if found is None or found.purpose not in purposes:
            raise invalid_link()
        return found.account_id, found.purpose

    async def _consume(
        self, transaction: Transaction, account_id: UUID, token: str, purpose: str
    ) -> tuple[AccountRecord, UsedToken]:
        """Locks the account and uses up its tokens; of several racing, the first counts."""
        account = await accounts.lock(transaction, account_id)
        if account is not None:
            for used in await repository.consume(transaction, account_id, purpose):
                if used.hash == hashed(token) and not used.expired:
                    return account, used
        raise invalid_link()


def invalid_link() -> BadRequest:
    """Of a token that is unknown, used, expired or of no use any more: all alike."""
    fault = FieldError("/body/token", "is unknown, used or has expired")
    return BadRequest("The link is invalid or expired. Request a new one.", errors=[fault])
