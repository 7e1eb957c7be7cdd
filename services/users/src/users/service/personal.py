"""All data of an account: export it, and erase the rest of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from twelvefold.contracts.accounts import MailRecord, UserExport
from twelvefold.contracts.images import Variant
from twelvefold.database.database import Database
from twelvefold.errors import Forbidden, NotFound
from twelvefold.security.revocation import RevocationList
from users.repository import account_admin, accounts, activity, email_tokens, reservations
from users.repository import personal as repository
from users.service.account_admin import require_another_admin
from users.service.cached import CachedAccounts
from users.service.sessions import Sessions


@dataclass(frozen=True, slots=True)
class PersonalData:
    """The use cases."""

    database: Database
    cached: CachedAccounts
    revocations: RevocationList
    sessions: Sessions

    async def export(self, account_id: UUID, session_id: UUID) -> UserExport:
        """Return all data but secrets: no hash and no token. Raises NotFound."""
        async with self.database.read_prepared() as prepared:
            account = await accounts.by_id(prepared, account_id)
        async with self.database.read() as reader:
            timestamps = await repository.account_timestamps(reader, account_id)
            avatar = await accounts.avatar(reader, account_id)
            if account is None or timestamps is None or avatar is None:
                raise NotFound("The account does not exist.")
            pending = await email_tokens.pending_address(reader, account_id)
            reserved = await reservations.list_of(reader, account_id)
            days = await activity.days_of(reader, account_id)
            mails = await repository.mails(reader, account_id)
        return UserExport.model_construct(
            user=account,
            password_changed_at=timestamps.password_changed_at,
            email_verified_at=timestamps.email_verified_at,
            disabled_at=timestamps.disabled_at,
            avatar=[Variant.model_construct(**variant) for variant in avatar[0]],
            pending_email=pending,
            reserved_emails=[reservation.email for reservation in reserved],
            sessions=(await self.sessions.live(account_id, session_id)).items,
            active_days=days,
            mails=[
                MailRecord.model_construct(
                    purpose=mail.purpose,
                    email=mail.email,
                    created_at=mail.created_at,
                    expires_at=mail.expires_at,
                    used_at=mail.used_at,
                )
                for mail in mails
            ],
        )

    async def require_erasable(self, actor: UUID, account_id: UUID) -> None:
        """Check beforehand whether `erase` would succeed, and whether `actor` may request it.

        Raises Forbidden where `actor` is no active admin by its row, which a token outlives, and
        Conflict where no admin would be left. Takes no lock: `erase` checks again.
        """
        async with self.database.read() as reader:
            if not await account_admin.is_active_admin(reader, actor):
                raise Forbidden("Admin role required.")
            await require_another_admin(reader, account_id)

    async def erase(self, account_id: UUID) -> None:
        """Delete the account if it exists, its stored responses and its link to days of activity.

        Idempotent. Raises Conflict where no active admin would be left.
        """
        effects = None
        async with self.database.transaction() as transaction:
            # One at a time with deletions and changes of role: two erasures would count each other.
            await account_admin.lock_admin_changes(transaction)
            await require_another_admin(transaction, account_id)
            deleted = await accounts.remove(transaction, account_id)
            if deleted is not None:
                await activity.count_departure(transaction, deleted)
                revoke = partial(self.revocations.revoke, account_id)
                effects = self.cached.after_removal(transaction, deleted, revoke)
            await repository.forget_replies(transaction, account_id)
            await activity.unlink(transaction, account_id)
        if effects is not None:
            await effects.finished()
