"""An account's own password: change it, and check it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from twelvefold.database.database import Database
from twelvefold.errors import FieldError, Forbidden, NotFound
from twelvefold.security.passwords import PasswordHasher
from twelvefold.security.revocation import RevocationList
from users.repository import accounts, credentials, email_tokens, sessions
from users.repository.credentials import Credentials
from users.service.cached import CachedAccounts
from users.service.emails.email_links import CHANGE, RESET
from users.service.emails.security_notifications import SecurityNotifications
from users.service.password_rules import PasswordRules
from users.service.throttle import LoginThrottle


@dataclass(frozen=True, slots=True)
class Passwords:
    """The use cases of an account that is logged in."""

    database: Database
    cached: CachedAccounts
    hasher: PasswordHasher
    revocations: RevocationList
    rules: PasswordRules
    throttle: LoginThrottle
    notices: SecurityNotifications

    async def change(self, account_id: UUID, session_id: UUID, current: str, new: str) -> None:
        """Set the password and end every session but the caller's.

        Emailed links end too: a reset, and a change of the address, which the owner may not have
        requested. Raises NotFound, Forbidden where `current` is wrong, UnprocessableContent by
        the password rules.
        """
        checked = await self.check(account_id, current, "/body/current")
        await self.rules.check(new, checked.email, "/body/new")
        password_hash = await self.hasher.hash(new)
        async with self.database.transaction() as transaction:
            account = await accounts.lock(transaction, account_id)
            if account is None or account.disabled:
                raise NotFound("The account does not exist.")
            if not await credentials.is_unchanged(transaction, checked):
                raise wrong_password("/body/current")  # a concurrent change committed first
            changed = await credentials.set_password(transaction, account_id, password_hash)
            ended = await sessions.revoke_all(transaction, account_id, except_id=session_id)
            for purpose in (RESET, CHANGE):
                await email_tokens.consume(transaction, account_id, purpose)
            await email_tokens.forget_pending_address(transaction, account_id)
            await self.notices.password_changed(transaction, account)
            effects = self.cached.after(
                transaction, changed or account, partial(self.revocations.revoke, *ended)
            )
        await effects.finished()

    async def require(self, account_id: UUID, password: str | None, pointer: str) -> None:
        """Check the password as `check` does. Raises Forbidden where none was given, too."""
        if password is None:
            raise Forbidden(
                "Send the account's password.", errors=[FieldError(pointer, "is required")]
            )
        await self.check(account_id, password, pointer)

    async def check(self, account_id: UUID, password: str, pointer: str) -> Credentials:
        """Return the credentials where the password is right.

        `pointer` names the field of the password. Attempts are counted apart from logins. Raises
        NotFound, TooManyRequests, and Forbidden where the password is wrong.
        """
        attempt = await self.throttle.admit(str(account_id), None)
        async with self.database.read() as reader:
            stored = await credentials.by_id(reader, account_id)
        if stored is None or stored.disabled:
            raise NotFound("The account does not exist.")
        if not await self.hasher.verify(password, stored.password_hash):
            raise wrong_password(pointer)
        await self.throttle.record_success(attempt)
        return stored


def wrong_password(pointer: str) -> Forbidden:
    return Forbidden("The password is wrong.", errors=[FieldError(pointer, "is wrong")])
