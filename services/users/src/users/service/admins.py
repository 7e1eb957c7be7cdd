"""Creation of admins from the command line: no token, no email."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from twelvefold.contracts.accounts import Role, UserCreate
from twelvefold.database.database import Database
from twelvefold.errors import Conflict
from twelvefold.identifiers import new_id
from twelvefold.security.passwords import PasswordHasher
from users.repository import accounts as repository
from users.repository import reservations
from users.service.cached import CachedAccounts
from users.service.password_rules import PasswordRules


@dataclass(frozen=True, slots=True)
class AdminProvisioning:
    """Use cases that make new and existing accounts admins."""

    database: Database
    cached: CachedAccounts
    hasher: PasswordHasher
    rules: PasswordRules

    async def promote(self, email: str, *, verified: bool) -> UUID | None:
        """Make the account an admin from its next token on; return its id, None without an account.

        `verified` also marks the address as verified; without it that stays as it is.
        """
        async with self.database.transaction() as transaction:
            account_id = await repository.id_by_email(transaction, email)
            account = account_id and await repository.promote(
                transaction, account_id, verified=verified
            )
            if not account:
                return None
            stored = self.cached.after(transaction, account)
        await stored.finished()
        return account.id

    async def create(self, new: UserCreate, *, verified: bool) -> UUID:
        """Create an admin account, and return its id.

        Raises Conflict where the address is taken, UnprocessableContent by the password rules.
        """
        password = new.password.get_secret_value()
        await self.rules.check(password, new.email)
        password_hash = await self.hasher.hash(password)
        async with self.database.transaction() as transaction:
            account = await repository.insert_account(
                transaction,
                account_id=new_id(),
                email=new.email,
                profile=new.profile,
                password_hash=password_hash,
                role=Role.ADMIN,
                verified=verified,
            )
            if account is None or await reservations.is_reserved(
                transaction, new.email, except_for=account.id
            ):
                raise Conflict("an account with this address exists")
        return account.id
