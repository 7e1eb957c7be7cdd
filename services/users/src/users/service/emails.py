"""Mails that carry a link: asking for one, minting it when the mail is sent, using it.

Asking says nothing about whether an account exists, in words, status or work: a job is queued
either way, and the one for nobody is refused when its content is fetched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from urllib.parse import quote
from uuid import UUID

from twelvefold.cache import Cache
from twelvefold.contracts.accounts import EmailContent
from twelvefold.contracts.jobs import EMAIL_SEND, EmailSend, EmailTemplate
from twelvefold.database import Database, Transaction
from twelvefold.errors import BadRequest, FieldError, NotFound
from twelvefold.identifiers import new_id
from twelvefold.jobs import JobQueue
from twelvefold.security.passwords import PasswordHasher
from twelvefold.security.revocation import Revocations
from users.repository import accounts, sessions
from users.repository import email_tokens as repository
from users.repository.accounts import AccountRecord
from users.repository.email_tokens import UsedToken
from users.service.documents import CACHE_TTL, cache_key, document
from users.service.follow_ups import FollowUps
from users.service.sessions import hashed, new_secret

VERIFY, RESET = "verify", "reset"
# A reset is as good as a password (OWASP ASVS 6.5.5); both run from when the mail is sent.
LIFETIMES = {VERIFY: timedelta(hours=24), RESET: timedelta(minutes=10)}
_PURPOSES = {
    EmailTemplate.WELCOME: VERIFY,
    EmailTemplate.VERIFY: VERIFY,
    EmailTemplate.RESET: RESET,
}
_PAGES = {VERIFY: "verify-email", RESET: "reset-password"}


@dataclass(frozen=True, slots=True)
class Emails:
    """The use cases. `public_url` is the base of the pages that links lead to."""

    database: Database
    cache: Cache
    jobs: JobQueue
    hasher: PasswordHasher
    revocations: Revocations
    follow_ups: FollowUps
    public_url: str

    async def request(self, template: EmailTemplate, email: str) -> None:
        """Queues the mail to whoever has this address, if anybody."""
        async with self.database.transaction() as unit:
            account_id = await accounts.id_by_email(unit, email) or new_id()
            payload = EmailSend(template=template, user_id=account_id)
            await self.jobs.enqueue(unit, EMAIL_SEND, payload)

    async def content(self, job_id: UUID, mail: EmailSend) -> EmailContent:
        """To whom the mail goes, and a link of its own for each time that this is asked.

        Raises NotFound where the account is gone or disabled, or needs no such mail any more.
        """
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
            await repository.insert_token(
                unit,
                token_hash=hashed(token),
                account_id=mail.user_id,
                purpose=purpose,
                job_id=job_id,
                email=addressee.email,
                lifetime=LIFETIMES[purpose],
            )
        link = f"{self.public_url}/{_PAGES[purpose]}?token={quote(token)}"
        return EmailContent(to=addressee.email, name=addressee.name, link=link)

    async def verify(self, token: str) -> None:
        """Marks the address as its owner's. Raises BadRequest for a token that does not count."""
        account_id = await self._account_of(token, VERIFY)
        async with self.database.transaction() as unit:
            account, used = await self._use_up(unit, account_id, token, VERIFY)
            if used.email != account.email:
                raise _useless()  # it proves an address that the account no longer has
            if account.email_verified:
                return
            changed = await accounts.mark_verified(unit, account_id)
            stored = self.follow_ups.after(unit, self._storing(changed))
        await stored.finished()

    async def reset_password(self, token: str, password: str) -> None:
        """Sets the password and ends every session. Raises BadRequest as `verify`."""
        account_id = await self._account_of(token, RESET)  # before the work of a hash
        password_hash = await self.hasher.hash(password)
        async with self.database.transaction() as unit:
            account, used = await self._use_up(unit, account_id, token, RESET)
            if account.disabled or used.email != account.email:
                raise _useless()
            changed = await accounts.set_password(unit, account_id, password_hash)
            ended = await sessions.revoke_all(unit, account_id)
            followed = self.follow_ups.after(
                unit, partial(self.revocations.revoke, *ended), self._storing(changed)
            )
        await followed.finished()

    async def _account_of(self, token: str, purpose: str) -> UUID:
        async with self.database.read() as reader:
            account_id = await repository.account_of(reader, hashed(token), purpose)
        if account_id is None:
            raise _useless()
        return account_id

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

    def _storing(self, account: AccountRecord | None) -> Callable[[], Awaitable[object]]:
        if account is None:  # only without the lock, which every caller holds
            raise NotFound("no such account")
        return partial(self.cache.set, cache_key(account.id), document(account), CACHE_TTL)


def _useless() -> BadRequest:
    fault = FieldError("/body/token", "is unknown, used or has expired")
    return BadRequest("this link does not count", errors=[fault])
