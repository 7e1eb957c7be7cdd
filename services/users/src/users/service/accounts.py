"""Accounts and their avatars: register, read, change, delete."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from functools import partial
from typing import NoReturn
from uuid import UUID

from twelvefold.cache.cache import CacheEntry
from twelvefold.contracts.accounts import Role, UserCreate, UserUpdate
from twelvefold.contracts.images import Variant, VariantReport
from twelvefold.contracts.jobs import (
    ACCOUNT_ERASE,
    EMAIL_SEND,
    AccountErase,
    EmailSend,
    EmailTemplate,
)
from twelvefold.database.database import Database, Transaction, retry_once
from twelvefold.errors import (
    Conflict,
    FieldError,
    NotFound,
    PreconditionFailed,
    ReauthenticationRequired,
)
from twelvefold.http.rest.idempotency import IdempotentOperation, StoredResponse
from twelvefold.identifiers import new_id
from twelvefold.jobs import JobQueue
from twelvefold.security.passwords import PasswordHasher
from twelvefold.security.revocation import RevocationList
from users.repository import account_admin, activity, reservations, sessions
from users.repository import accounts as repository
from users.repository.accounts import AccountRecord
from users.service.account_admin import require_another_admin
from users.service.cached import CachedAccounts
from users.service.documents import document, tombstone
from users.service.emails.email_links import VERIFY
from users.service.emails.recipients import RecipientLimit
from users.service.password_rules import PasswordRules
from users.service.post_commit import PostCommitTask

DELETION_MAX_LOGIN_AGE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Accounts:
    """The use cases. Every method that changes a row commits before it returns."""

    database: Database
    cached: CachedAccounts
    jobs: JobQueue
    hasher: PasswordHasher
    revocations: RevocationList
    rules: PasswordRules
    recipients: RecipientLimit

    async def register(
        self,
        new: UserCreate,
        operation: IdempotentOperation,
        respond: Callable[[AccountRecord], StoredResponse],
    ) -> StoredResponse:
        """Return the response to the new account; the same commit queues its welcome mail.

        Raises Conflict where the address is taken, UnprocessableContent for a common password,
        Overloaded where too many register at once, TooManyRequests where too many emails of this
        kind were sent to the address.
        """

        async def insert(
            transaction: Transaction, password_hash: str
        ) -> tuple[AccountRecord, PostCommitTask]:
            account = await self._insert(transaction, new, password_hash)
            await self._enqueue_welcome(transaction, account.id)
            return account, self.cached.after_insert(transaction, account)

        async def prepare() -> str:
            await self._count_welcome(new.email)
            password = new.password.get_secret_value()
            await self.rules.check(password, new.email)
            return await self.hasher.hash(password)

        result = await operation.run(
            self.database, insert, prepare=prepare, respond=lambda inserted: respond(inserted[0])
        )
        if result.value is not None:
            _, stored = result.value
            await stored.finished()
        return result.response

    async def get(self, account_id: UUID) -> CacheEntry:
        """Return the account's JSON and version, and put them into the cache. Raises NotFound."""
        entry = await self.cached.load(account_id, partial(self._load, account_id))
        if entry.body is None:
            raise NotFound("The account does not exist.")
        return entry

    @retry_once
    async def update(
        self, account_id: UUID, changes: UserUpdate, expected: Collection[int] | None
    ) -> CacheEntry:
        """Return the account after the change. `expected` None accepts any version.

        Raises NotFound, and PreconditionFailed where the account is at none of those versions.
        """
        values = changes.model_dump(exclude_unset=True, exclude_none=True)
        async with self.database.transaction() as transaction:
            account = await repository.change(transaction, account_id, expected, **values)
            if account is None:
                await self._raise_unchanged(transaction, account_id)
            stored = self.cached.after(transaction, account)
        await stored.finished()
        return document(account)

    @retry_once
    async def delete(
        self, account_id: UUID, session_id: UUID, expected: Collection[int] | None
    ) -> None:
        """Delete the account, its sessions and tokens, and revoke its access tokens.

        A job that the same commit queues erases the rest of its data. Raises as `update`,
        ReauthenticationRequired where the caller's session is older than DELETION_MAX_LOGIN_AGE,
        and Conflict where no active admin would be left.
        """
        async with self.database.transaction() as transaction:
            await self._require_recent_login(transaction, account_id, session_id)
            is_admin = await account_admin.is_admin(transaction, account_id)
            if is_admin:
                await account_admin.lock_admin_changes(transaction)
                await require_another_admin(transaction, account_id)
            deleted = await repository.remove(transaction, account_id, expected)
            if deleted is None:
                await self._raise_unchanged(transaction, account_id)
            if deleted.role is Role.ADMIN and not is_admin:
                raise Conflict("A concurrent change made the account an admin. Try again.")
            await activity.count_departure(transaction, deleted)
            await self.jobs.enqueue(
                transaction,
                ACCOUNT_ERASE,
                AccountErase(user_id=account_id),
                unique_key=str(account_id),
            )
            revoke = partial(self.revocations.revoke, account_id)
            effects = self.cached.after_removal(transaction, deleted, revoke)
        await effects.finished()

    @retry_once
    async def avatar(self, account_id: UUID) -> list[Variant]:
        """Return the variants, none before the first upload was processed. Raises NotFound."""
        async with self.database.read() as reader:
            found = await repository.avatar(reader, account_id)
        if found is None:
            raise NotFound("The account does not exist.")
        return [Variant.model_construct(**variant) for variant in found[0]]

    @retry_once
    async def report_avatar(self, account_id: UUID, report: VariantReport) -> None:
        """Store the variants of the newest job. Idempotent by job.

        A rejected upload keeps the previous avatar. Raises NotFound, and Conflict where a newer
        job has reported.
        """
        if report.rejected is not None:
            await self.avatar(account_id)
            return
        # A time without a zone is UTC, as everywhere in the suite.
        created_at = report.job_created_at
        if created_at.tzinfo is None:
            created_at = created_at.replace(tzinfo=UTC)
        variants = [variant.model_dump(mode="json") for variant in report.variants]
        async with self.database.transaction() as transaction:
            account = await repository.set_avatar(
                transaction,
                account_id,
                variants,
                job_id=report.job_id,
                job_created_at=created_at,
            )
            if account is None:
                await self._require_current_job(transaction, account_id, report)
                return
            stored = self.cached.after(transaction, account)
        await stored.finished()

    async def orphans(self, keys: Sequence[str]) -> list[str]:
        """Return those of `keys` that belong to no avatar: superseded, or of deleted accounts."""
        ids = {owner for key in keys if (owner := _parse_owner(key)) is not None}
        async with self.database.read() as reader:
            known = await repository.avatar_keys(reader, list(ids))
        return [key for key in keys if key not in known]

    @retry_once
    async def _load(self, account_id: UUID) -> CacheEntry:
        async with self.database.read_prepared() as reader:
            account = await repository.by_id(reader, account_id)
        return tombstone() if account is None else document(account)

    async def _insert(
        self, transaction: Transaction, new: UserCreate, password_hash: str
    ) -> AccountRecord:
        account = await repository.insert_account(
            transaction,
            account_id=new_id(),
            email=new.email,
            profile=new.profile,
            password_hash=password_hash,
        )
        if account is None or await reservations.is_reserved(
            transaction, new.email, except_for=account.id
        ):
            taken = FieldError("/body/email", "is taken")
            raise Conflict("An account with this address exists.", errors=[taken])
        return account

    async def _count_welcome(self, email: str) -> None:
        """Count the email to the address; for a taken address none is sent, so none is counted."""
        if await self._find_id(email) is None:
            await self.recipients.admit(VERIFY, email)

    @retry_once
    async def _find_id(self, email: str) -> UUID | None:
        async with self.database.read_prepared() as reader:
            return await repository.id_by_email(reader, email)

    async def _enqueue_welcome(self, transaction: Transaction, account_id: UUID) -> None:
        payload = EmailSend(template=EmailTemplate.WELCOME, user_id=account_id)
        await self.jobs.enqueue(transaction, EMAIL_SEND, payload)

    async def _require_recent_login(
        self, transaction: Transaction, account_id: UUID, session_id: UUID
    ) -> None:
        if await sessions.logged_in_within(transaction, session_id, DELETION_MAX_LOGIN_AGE):
            return
        if await repository.version(transaction, account_id) is None:
            raise NotFound("The account does not exist.")
        seconds = int(DELETION_MAX_LOGIN_AGE.total_seconds())
        raise ReauthenticationRequired(
            f"Log in again: this needs a login of the last {seconds} seconds.", max_age=seconds
        )

    async def _raise_unchanged(self, transaction: Transaction, account_id: UUID) -> NoReturn:
        """Raise the reason why nothing changed: NotFound or PreconditionFailed."""
        if await repository.version(transaction, account_id) is None:
            raise NotFound("The account does not exist.")
        raise PreconditionFailed("The account has changed since that version.")

    async def _require_current_job(
        self, transaction: Transaction, account_id: UUID, report: VariantReport
    ) -> None:
        found = await repository.avatar(transaction, account_id)
        if found is None:
            raise NotFound("The account does not exist.")
        if found[1] != report.job_id:
            raise Conflict("A newer upload has replaced this one.")


def _parse_owner(key: str) -> UUID | None:
    """Return the account in the key of an avatar's variant (`variants/avatar/{id}/…`), or None."""
    parts = key.split("/")
    if parts[:2] != ["variants", "avatar"]:
        return None
    try:
        return UUID(parts[2])
    except (IndexError, ValueError):
        return None
