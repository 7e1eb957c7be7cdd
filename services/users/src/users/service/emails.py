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
from twelvefold.database import Database, Transaction, repeated
from twelvefold.errors import BadRequest, Conflict, FieldError, NotFound
from twelvefold.identifiers import new_id
from twelvefold.jobs import JobQueue
from twelvefold.security.passwords import PasswordHasher
from twelvefold.security.revocation import Revocations
from users.repository import accounts, credentials, sessions
from users.repository import email_tokens as repository
from users.repository.accounts import AccountRecord
from users.repository.email_tokens import UsedToken
from users.service.cached import CachedAccounts
from users.service.notices import NOTICES, Notices
from users.service.password_rules import PasswordRules
from users.service.sessions import hashed, new_secret

VERIFY, RESET, CHANGE = "verify", "reset", "change"
# A reset is as good as a password (OWASP ASVS 6.5.5); both run from when the mail is sent.
LIFETIMES = {VERIFY: timedelta(hours=24), CHANGE: timedelta(hours=24), RESET: timedelta(minutes=10)}
_PURPOSES = {
    EmailTemplate.WELCOME: VERIFY,
    EmailTemplate.VERIFY: VERIFY,
    EmailTemplate.RESET: RESET,
    EmailTemplate.CHANGE_EMAIL: CHANGE,
}
_PAGES = {VERIFY: "verify-email", CHANGE: "verify-email", RESET: "reset-password"}


@dataclass(frozen=True, slots=True)
class Emails:
    """The use cases. `web_url` is the base of the pages that links lead to."""

    database: Database
    cached: CachedAccounts
    jobs: JobQueue
    hasher: PasswordHasher
    revocations: Revocations
    rules: PasswordRules
    notices: Notices
    web_url: str

    @repeated
    async def request(self, template: EmailTemplate, email: str) -> None:
        """Queues the mail to whoever has this address, if anybody."""
        async with self.database.transaction() as unit:
            account_id = await accounts.id_by_email(unit, email) or new_id()
            payload = EmailSend(template=template, user_id=account_id)
            await self.jobs.enqueue(unit, EMAIL_SEND, payload)

    @repeated
    async def request_change(self, account_id: UUID, email: str) -> None:
        """Queues the mail to the new address, which counts once its link has been followed.

        One that somebody else has is taken like any other and refused when the mail is sent.
        Raises NotFound.
        """
        async with self.database.transaction() as unit:
            account = await accounts.lock(unit, account_id)
            if account is None or account.disabled:
                raise NotFound("no such account")
            await repository.ask_for_address(unit, account_id, email)
            payload = EmailSend(template=EmailTemplate.CHANGE_EMAIL, user_id=account_id)
            await self.jobs.enqueue(unit, EMAIL_SEND, payload)

    @repeated
    async def content(self, job_id: UUID, mail: EmailSend) -> EmailContent:
        """To whom the mail goes, and a link of its own for each time that one is asked for.

        Raises NotFound where the account is gone or disabled, or needs no such mail any more.
        """
        if mail.template in NOTICES:
            async with self.database.transaction() as unit:
                return await self.notices.content(unit, job_id, mail)
        purpose = _PURPOSES[mail.template]
        token = new_secret()
        async with self.database.transaction() as unit:
            addressee = await accounts.addressee(unit, mail.user_id)
            if addressee is None:
                raise NotFound("no such account")
            if addressee.verified and purpose == VERIFY:
                if mail.template is EmailTemplate.VERIFY:
                    raise NotFound("the address is verified already")
                return EmailContent(to=addressee.email, name=addressee.name)
            to = addressee.email
            if purpose == CHANGE:
                to = await self._asked_address(unit, mail.user_id)
            await repository.insert_token(
                unit,
                token_hash=hashed(token),
                account_id=mail.user_id,
                purpose=purpose,
                job_id=job_id,
                email=to,
                lifetime=LIFETIMES[purpose],
            )
        link = f"{self.web_url}/{_PAGES[purpose]}?token={quote(token)}"
        return EmailContent(to=to, name=addressee.name, link=link)

    @repeated
    async def confirm(self, token: str) -> None:
        """Marks the address as its owner's, and as the account's where it asked for a new one.

        Raises BadRequest for a token that does not count, Conflict where somebody else has taken
        the new address meanwhile.
        """
        account_id, purpose = await self._owner_of(token, VERIFY, CHANGE)
        async with self.database.transaction() as unit:
            account, used = await self._use_up(unit, account_id, token, purpose)
            if purpose == CHANGE:
                changed = await self._take_address(unit, account_id, used.email)
                await self.notices.email_changed(unit, account)
            elif used.email != account.email:
                raise _useless()  # it proves an address that the account no longer has
            elif account.email_verified:
                return
            else:
                changed = await accounts.mark_verified(unit, account_id)
            stored = self.cached.after(unit, changed or account)
        await stored.finished()

    async def reset_password(self, token: str, password: str) -> None:
        """Sets the password and ends every session.

        Raises BadRequest as `confirm`, Invalid by the rules: the token counts again then.
        """
        account_id, _ = await self._owner_of(token, RESET)  # before the work of a hash
        async with self.database.read() as reader:
            found = await credentials.by_id(reader, account_id)
        if found is None:
            raise _useless()
        await self.rules.check(password, found.email)
        password_hash = await self.hasher.hash(password)
        async with self.database.transaction() as unit:
            account, used = await self._use_up(unit, account_id, token, RESET)
            if account.disabled or used.email != account.email:
                raise _useless()
            changed = await credentials.set_password(unit, account_id, password_hash)
            ended = await sessions.revoke_all(unit, account_id)
            # Who could log in before may have asked for another address.
            await repository.use_up(unit, account_id, CHANGE)
            await repository.forget_asked_address(unit, account_id)
            await self.notices.password_changed(unit, account)
            followed = self.cached.after(
                unit, changed or account, partial(self.revocations.revoke, *ended)
            )
        await followed.finished()

    async def _asked_address(self, unit: Transaction, account_id: UUID) -> str:
        asked = await repository.asked_address(unit, account_id)
        if asked is None:
            raise NotFound("no other address is asked for any more")
        if await accounts.id_by_email(unit, asked) not in (None, account_id):
            raise NotFound("the address is somebody else's")
        return asked

    async def _take_address(
        self, unit: Transaction, account_id: UUID, email: str
    ) -> AccountRecord | None:
        if await repository.asked_address(unit, account_id) != email:
            raise _useless()  # the account has asked for yet another one since
        changed = await accounts.take_address(unit, account_id, email)
        if changed is None:
            raise Conflict("an account with this address exists")
        await repository.forget_asked_address(unit, account_id)
        return changed

    async def _owner_of(self, token: str, *purposes: str) -> tuple[UUID, str]:
        async with self.database.read() as reader:
            found = await repository.owner_of(reader, hashed(token))
        if found is None or found[1] not in purposes:
            raise _useless()
        return found

    async def _use_up(
        self, unit: Transaction, account_id: UUID, token: str, purpose: str
    ) -> tuple[AccountRecord, UsedToken]:
        """Locks the account and uses up its tokens; of several racing, the first counts."""
        account = await accounts.lock(unit, account_id)
        if account is not None:
            for used in await repository.use_up(unit, account_id, purpose):
                if used.hash == hashed(token) and not used.expired:
                    return account, used
        raise _useless()


def _useless() -> BadRequest:
    fault = FieldError("/body/token", "is unknown, used or has expired")
    return BadRequest("this link does not count", errors=[fault])
