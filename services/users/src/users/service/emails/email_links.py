"""Emails with a link: request one, create the link when the email is sent, use it.

A request does not reveal whether an account exists, in its text, status or work: a job is queued
in both cases, and without an account it finds no content when the worker fetches it.
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
# A reset link equals a password (OWASP ASVS 6.5.5). Lifetimes begin when the email is sent.
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
    """The use cases. `web_url` is the base URL of the pages behind the links."""

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
        """Queue the email to the account with this address, if there is one.

        Raises TooManyRequests where too many were sent to the address, with or without an account.
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
        """Return the recipient and a new link for each call.

        Only an email to a verified address contains the account's name: it is free text, and the
        other emails can be requested to addresses of third parties. Raises NotFound where the
        account does not exist or is disabled, or the email is no longer needed.
        """
        if mail.template in NOTICES:
            async with self.database.transaction() as transaction:
                return await self._notice(transaction, job_id, mail)
        purpose = _PURPOSES[mail.template]
        token = new_secret()
        async with self.database.transaction() as transaction:
            recipient = await accounts.recipient(transaction, mail.user_id)
            if recipient is None:
                raise NotFound("The account does not exist.")
            if recipient.verified and purpose == VERIFY:
                if mail.template is EmailTemplate.VERIFY:
                    raise NotFound("The address is already verified.")
                return EmailContent(to=recipient.email, name=recipient.name)
            to, name = recipient.email, recipient.name if recipient.verified else ""
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
        """Mark the address as verified; a pending address becomes the account's.

        Raises BadRequest for an invalid token, Conflict where another account has taken the new
        address since.
        """
        account_id, purpose = await self._find_owner(token, VERIFY, CHANGE)
        async with self.database.transaction() as transaction:
            account, used = await self._consume(transaction, account_id, token, purpose)
            changed: AccountRecord | None
            if purpose == CHANGE:
                changed = await self._take_address(transaction, account_id, used.email)
                await self.notices.email_changed(transaction, account, changed)
            elif used.email != account.email:
                raise invalid_link()  # the account no longer has the address
            elif account.email_verified:
                return
            else:
                changed = await accounts.mark_verified(transaction, account_id)
            stored = self.cached.after(transaction, changed or account)
        await stored.finished()

    async def reset_password(self, token: str, password: str) -> None:
        """Set the password and end every session.

        Raises BadRequest as `confirm`, UnprocessableContent by the password rules, after which the
        token is still valid.
        """
        account_id, _ = await self._find_owner(token, RESET)  # before the expensive hash
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
            # An attacker who could log in may have requested another address.
            await repository.consume(transaction, account_id, CHANGE)
            await repository.forget_pending_address(transaction, account_id)
            await self.notices.password_changed(transaction, account)
            effects = self.cached.after(
                transaction, changed or account, partial(self.revocations.revoke, *ended)
            )
        await effects.finished()

    async def _notice(
        self, transaction: Transaction, job_id: UUID, mail: EmailSend
    ) -> EmailContent:
        """Return the content of a security notification; one about the address has an undo link."""
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
        pending = await repository.pending_address(transaction, account_id)
        if pending is None:
            raise NotFound("The account has no pending address.")
        if await accounts.id_by_email(transaction, pending) not in (None, account_id):
            raise NotFound("Another account has the address.")
        if await reservations.is_reserved(transaction, pending, except_for=account_id):
            raise NotFound("Another account has reserved the address.")
        return pending

    async def _take_address(
        self, transaction: Transaction, account_id: UUID, email: str
    ) -> AccountRecord:
        if await repository.pending_address(transaction, account_id) != email:
            raise invalid_link()  # the account has requested another address since
        changed = await accounts.take_address(transaction, account_id, email)
        if changed is None:
            raise Conflict("An account with this address exists.")
        await repository.forget_pending_address(transaction, account_id)
        await reservations.release(transaction, account_id, email)
        return changed

    async def _find_owner(self, token: str, *purposes: str) -> tuple[UUID, str]:
        async with self.database.read() as reader:
            found = await repository.find_open(reader, hashed(token))
        if found is None or found.purpose not in purposes:
            raise invalid_link()
        return found.account_id, found.purpose

    async def _consume(
        self, transaction: Transaction, account_id: UUID, token: str, purpose: str
    ) -> tuple[AccountRecord, UsedToken]:
        """Lock the account and consume its tokens; of concurrent calls only the first succeeds."""
        account = await accounts.lock(transaction, account_id)
        if account is not None:
            for used in await repository.consume(transaction, account_id, purpose):
                if used.hash == hashed(token) and not used.expired:
                    return account, used
        raise invalid_link()


def invalid_link() -> BadRequest:
    """Return the one error of tokens that are unknown, used, expired or no longer applicable."""
    fault = FieldError("/body/token", "is unknown, used or has expired")
    return BadRequest("The link is invalid or expired. Request a new one.", errors=[fault])
