"""Accounts at the edge: reads come from the cache first, all other calls go to users."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from api.users_client import CreatedUser, UserDocument, UsersClient
from twelvefold.cache.cache import Cache
from twelvefold.contracts.accounts import (
    EmailChange,
    PasswordChange,
    SessionList,
    UserAdminUpdate,
    UserCreate,
    UserPage,
    UserPosition,
    UserUpdate,
    user_cache_key,
)
from twelvefold.errors import NotFound
from twelvefold.http.rest.conditional import etag
from twelvefold.security.principals import Principal


class Accounts:
    """Use cases on accounts. Users owns rows and cache; the edge only reads the cache."""

    def __init__(self, users: UsersClient, cache: Cache) -> None:
        self._users = users
        self._cache = cache

    async def create(self, new: UserCreate, idempotency_key: str | None = None) -> CreatedUser:
        """Register an account. Raises Conflict where the address is taken; users checks the key."""
        return await self._users.create(new, idempotency_key=idempotency_key)

    async def get(self, principal: Principal, user_id: UUID) -> UserDocument:
        """Return the account. Raises NotFound, Forbidden for another one, existing or not."""
        principal.require_self_or_admin(user_id)
        entry = await self._cache.get(user_cache_key(user_id))
        if entry is None:
            return await self._users.get(user_id, bearer=principal.token)
        if entry.body is None:
            raise NotFound("The account does not exist.")
        return UserDocument(entry.body, etag(entry.version))

    async def update(
        self, principal: Principal, changes: UserUpdate, expected: Collection[int] | None
    ) -> UserDocument:
        """Change the caller's account; `expected` None accepts any version.

        Raises PreconditionFailed where `expected` lacks the version of the row.
        """
        return await self._users.update(
            principal.id, changes, expected=expected, bearer=principal.token
        )

    async def delete(self, principal: Principal, expected: Collection[int] | None) -> None:
        """Delete the caller's account.

        Raises as `update`, ReauthenticationRequired, and Conflict for the last admin.
        """
        await self._users.delete(principal.id, expected=expected, bearer=principal.token)

    async def list(
        self, principal: Principal, *, limit: int, after: tuple[datetime, UUID] | None
    ) -> UserPage:
        """Return a page of all accounts, newest first; for admins."""
        position = None if after is None else UserPosition(created_at=after[0], id=after[1])
        return await self._users.list(limit=limit, after=position, bearer=principal.token)

    async def administer(
        self,
        principal: Principal,
        user_id: UUID,
        changes: UserAdminUpdate,
        expected: Collection[int] | None,
    ) -> UserDocument:
        """Change role or disabling; for admins.

        Raises as `update`, and Conflict where no admin would be left.
        """
        return await self._users.administer(
            user_id, changes, expected=expected, bearer=principal.token
        )

    async def change_password(self, principal: Principal, request: PasswordChange) -> None:
        """Change the password and end the other sessions.

        Raises Forbidden where the current one is wrong, UnprocessableContent for a weak new one.
        """
        await self._users.change_password(principal.id, request, bearer=principal.token)

    async def change_email(self, principal: Principal, request: EmailChange) -> None:
        """Request a new address, which its owner confirms by email.

        Raises Forbidden without the password.
        """
        await self._users.change_email(principal.id, request, bearer=principal.token)

    async def sessions(self, principal: Principal) -> SessionList:
        return await self._users.sessions(principal.id, bearer=principal.token)

    async def end_session(self, principal: Principal, session_id: UUID) -> None:
        """End a session of the caller. Raises NotFound where there is no such session."""
        await self._users.end_session(principal.id, session_id, bearer=principal.token)
