"""Administration of accounts: list them, change roles, disable and enable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from twelvefold.cache.cache import CacheEntry
from twelvefold.contracts.accounts import Role, UserAdminUpdate, UserPage, UserPosition
from twelvefold.database.database import Database, Reader, retry_once
from twelvefold.errors import Conflict, Forbidden, NotFound, PreconditionFailed
from twelvefold.security.revocation import RevocationList
from users.repository import account_admin as repository
from users.repository import accounts, sessions
from users.repository.accounts import AccountRecord
from users.service.cached import CachedAccounts
from users.service.documents import document


@dataclass(frozen=True, slots=True)
class AccountAdmin:
    """The use cases. Routes have checked for an admin's token; changes check the row as well."""

    database: Database
    cached: CachedAccounts
    revocations: RevocationList

    @retry_once
    async def page(self, after: tuple[datetime, UUID] | None, limit: int) -> UserPage:
        """Return at most `limit` accounts beyond `after`, newest first."""
        if after is not None and after[0].tzinfo is None:
            after = (after[0].replace(tzinfo=UTC), after[1])
        async with self.database.read() as reader:
            accounts_found = await repository.page(reader, after, limit + 1)
        last = accounts_found[limit - 1] if len(accounts_found) > limit else None
        return UserPage.model_construct(
            items=[*accounts_found[:limit]],
            next=None if last is None else UserPosition(created_at=last.created_at, id=last.id),
        )

    @retry_once
    async def change(
        self,
        actor: UUID,
        account_id: UUID,
        changes: UserAdminUpdate,
        expected: Collection[int] | None,
    ) -> CacheEntry:
        """Return the account after the change; its current values change nothing.

        Disabling and demoting end its sessions. Raises Forbidden where `actor` is no longer an
        admin, NotFound, PreconditionFailed where the account is at none of the `expected` versions,
        Conflict where no active admin would be left.
        """
        async with self.database.transaction() as transaction:
            await repository.lock_admin_changes(transaction)
            if not await repository.is_active_admin(transaction, actor):
                raise Forbidden("Admin role required.")
            account = await accounts.lock(transaction, account_id)
            if account is None:
                raise NotFound("The account does not exist.")
            if expected is not None and account.version not in expected:
                raise PreconditionFailed("The account has changed since that version.")
            role, disabled = _merge(account, changes)
            if (role, disabled) == (account.role, account.disabled):
                return document(account)
            was_admin = account.role is Role.ADMIN and not account.disabled
            stays_admin = role is Role.ADMIN and not disabled
            if was_admin and not stays_admin:
                await require_another_admin(transaction, account_id)
            values: dict[str, Any] = {"role": role.value}
            if disabled != account.disabled:
                values["disabled_at"] = repository.NOW if disabled else None
            changed = await accounts.change(transaction, account_id, **values) or account
            ended: list[UUID] = []
            if disabled or (account.role is Role.ADMIN and role is not Role.ADMIN):
                ended = await sessions.revoke_all(transaction, account_id)
            effects = self.cached.after(
                transaction, changed, *self._revocations(account, changed, ended)
            )
        await effects.finished()
        return document(changed)

    def _revocations(
        self, before: AccountRecord, now: AccountRecord, ended: list[UUID]
    ) -> list[Callable[[], Awaitable[object]]]:
        calls: list[Callable[[], Awaitable[object]]] = []
        if now.disabled and not before.disabled:
            # A concurrent login has no session yet that could be revoked.
            ended = [now.id, *ended]
        if ended:
            calls.append(partial(self.revocations.revoke, *ended))
        if before.disabled and not now.disabled:
            calls.append(partial(self.revocations.restore, now.id))
        return calls


async def require_another_admin(reader: Reader, account_id: UUID) -> None:
    """Raise Conflict where no active admin would be left without this account.

    A transaction that changes the account afterwards takes `lock_admin_changes` first.
    """
    if await repository.is_only_admin(reader, account_id):
        raise Conflict("At least one active admin must remain. Promote another account first.")


def _merge(account: AccountRecord, changes: UserAdminUpdate) -> tuple[Role, bool]:
    role = account.role if changes.role is None else changes.role
    disabled = account.disabled if changes.disabled is None else changes.disabled
    return role, disabled
