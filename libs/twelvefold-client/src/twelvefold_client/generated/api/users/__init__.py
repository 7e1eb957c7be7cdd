"""The operations with the tag users."""

from __future__ import annotations

import datetime
from io import BytesIO
from typing import Any, cast
from uuid import UUID

from ...client import AsyncCaller, Caller
from ...models.account_export import AccountExport
from ...models.email_change import EmailChange
from ...models.job import Job
from ...models.password_change import PasswordChange
from ...models.problem import Problem
from ...models.session_list import SessionList
from ...models.user import User
from ...models.user_create import UserCreate
from ...models.user_update import UserUpdate
from ...types import UNSET, Response, Unset, Upload
from . import change_email as _change_email
from . import change_password as _change_password
from . import create_user as _create_user
from . import delete_me as _delete_me
from . import end_my_session as _end_my_session
from . import export_me as _export_me
from . import get_avatar as _get_avatar
from . import get_me as _get_me
from . import get_user as _get_user
from . import list_my_sessions as _list_my_sessions
from . import put_my_avatar as _put_my_avatar
from . import update_me as _update_me


class UsersOperations(Caller):
    """The operations with the tag users."""

    def create_user(
        self,
        body: UserCreate,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> User:
        """Register an account.

        409 where the address has an account. The email to it holds a link that verifies it.

        Args:
            idempotency_key (str | Unset): A value of your choice, new for each operation. A repeated
                request with the same key and body gets the first response again, for 24 hours.
            body (UserCreate):
        """

        return self.create_user_detailed(
            body=body,
            idempotency_key=idempotency_key,
        ).parsed

    def create_user_detailed(
        self,
        body: UserCreate,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> Response[User]:
        """As `create_user`, and return the status and the header fields as well."""
        return self._call(
            _create_user.OPERATION,
            _create_user.build(
                body=body,
                idempotency_key=idempotency_key,
            ),
        )

    def get_me(
        self,
        *,
        if_none_match: str | Unset = UNSET,
    ) -> User:
        """Show my account.

        Send the ETag as If-Match with a change, and as If-None-Match to read again.

        Args:
            if_none_match (str | Unset): ETag of the caller's copy.
        """

        return self.get_me_detailed(
            if_none_match=if_none_match,
        ).parsed

    def get_me_detailed(
        self,
        *,
        if_none_match: str | Unset = UNSET,
    ) -> Response[User]:
        """As `get_me`, and return the status and the header fields as well."""
        return self._call(
            _get_me.OPERATION,
            _get_me.build(
                if_none_match=if_none_match,
            ),
        )

    def delete_me(
        self,
        *,
        if_match: str | Unset = UNSET,
    ) -> None:
        """Delete my account.

        Ends every session at once; a job erases the data of the account.

        401 insufficient_user_authentication (RFC 9470) where the login, not the token, is older than
        5 minutes: log in again. 409 for the last admin: promote another account first.

        Args:
            if_match (str | Unset): ETag of the version that the change is based on.
        """

        return self.delete_me_detailed(
            if_match=if_match,
        ).parsed

    def delete_me_detailed(
        self,
        *,
        if_match: str | Unset = UNSET,
    ) -> Response[None]:
        """As `delete_me`, and return the status and the header fields as well."""
        return self._call(
            _delete_me.OPERATION,
            _delete_me.build(
                if_match=if_match,
            ),
        )

    def update_me(
        self,
        body: UserUpdate,
        *,
        if_match: str,
    ) -> User:
        """Change my account.

        Only the given members change. The address and the password have operations of their own.

        Args:
            if_match (str): ETag of the version that the change is based on.
            body (UserUpdate): A partial update: only the given fields change.
        """

        return self.update_me_detailed(
            body=body,
            if_match=if_match,
        ).parsed

    def update_me_detailed(
        self,
        body: UserUpdate,
        *,
        if_match: str,
    ) -> Response[User]:
        """As `update_me`, and return the status and the header fields as well."""
        return self._call(
            _update_me.OPERATION,
            _update_me.build(
                body=body,
                if_match=if_match,
            ),
        )

    def get_user(
        self,
        user_id: UUID,
        *,
        if_none_match: str | Unset = UNSET,
    ) -> User:
        """Show an account.

        The caller's own account, or any account for an admin. 403 for other ids, existing or not.

        Args:
            user_id (UUID): Id of the account.
            if_none_match (str | Unset): ETag of the caller's copy.
        """

        return self.get_user_detailed(
            user_id=user_id,
            if_none_match=if_none_match,
        ).parsed

    def get_user_detailed(
        self,
        user_id: UUID,
        *,
        if_none_match: str | Unset = UNSET,
    ) -> Response[User]:
        """As `get_user`, and return the status and the header fields as well."""
        return self._call(
            _get_user.OPERATION,
            _get_user.build(
                user_id=user_id,
                if_none_match=if_none_match,
            ),
        )

    def put_my_avatar(
        self,
        body: Upload,
    ) -> Job:
        """Upload my avatar.

        A JPEG, PNG or WebP file as the body. The newest upload wins, whichever job ends last.

        Args:
            body (File):
        """

        return self.put_my_avatar_detailed(
            body=body,
        ).parsed

    def put_my_avatar_detailed(
        self,
        body: Upload,
    ) -> Response[Job]:
        """As `put_my_avatar`, and return the status and the header fields as well."""
        return self._call(
            _put_my_avatar.OPERATION,
            _put_my_avatar.build(
                body=body,
            ),
        )

    def get_avatar(
        self,
        user_id: UUID,
        variant: str,
    ) -> str:
        """Show an avatar.

        Redirects to a URL that needs no token. 404 while the account has no avatar.

        Args:
            user_id (UUID): Id of the account.
            variant (str): Longest side: 128, 512, 1024.
        """

        return self.get_avatar_detailed(
            user_id=user_id,
            variant=variant,
        ).parsed

    def get_avatar_detailed(
        self,
        user_id: UUID,
        variant: str,
    ) -> Response[str]:
        """As `get_avatar`, and return the status and the header fields as well."""
        return self._call(
            _get_avatar.OPERATION,
            _get_avatar.build(
                user_id=user_id,
                variant=variant,
            ),
        )

    def change_password(
        self,
        body: PasswordChange,
    ) -> None:
        """Change my password.

        Ends every other session. 403 where the current password is wrong.

        Args:
            body (PasswordChange):
        """

        return self.change_password_detailed(
            body=body,
        ).parsed

    def change_password_detailed(
        self,
        body: PasswordChange,
    ) -> Response[None]:
        """As `change_password`, and return the status and the header fields as well."""
        return self._call(
            _change_password.OPERATION,
            _change_password.build(
                body=body,
            ),
        )

    def change_email(
        self,
        body: EmailChange,
    ) -> None:
        """Change my address.

        Sends an email to the new address, which takes effect once its link was used.

        403 without the account's password. The former address, if verified, gets a link that undoes
        the change for 7 days.

        Args:
            body (EmailChange): The new address takes effect when the link in the email to it is
                confirmed.
        """

        return self.change_email_detailed(
            body=body,
        ).parsed

    def change_email_detailed(
        self,
        body: EmailChange,
    ) -> Response[None]:
        """As `change_email`, and return the status and the header fields as well."""
        return self._call(
            _change_email.OPERATION,
            _change_email.build(
                body=body,
            ),
        )

    def list_my_sessions(
        self,
    ) -> SessionList:
        """List my sessions.

        The active logins of the account; `current` marks the one that asks.
        """

        return self.list_my_sessions_detailed().parsed

    def list_my_sessions_detailed(
        self,
    ) -> Response[SessionList]:
        """As `list_my_sessions`, and return the status and the header fields as well."""
        return self._call(
            _list_my_sessions.OPERATION,
            _list_my_sessions.build(),
        )

    def end_my_session(
        self,
        session_id: UUID,
    ) -> None:
        """End one of my sessions.

        Takes effect at once, also on its access tokens. The caller's own session is allowed.

        Args:
            session_id (UUID): Id of the session.
        """

        return self.end_my_session_detailed(
            session_id=session_id,
        ).parsed

    def end_my_session_detailed(
        self,
        session_id: UUID,
    ) -> Response[None]:
        """As `end_my_session`, and return the status and the header fields as well."""
        return self._call(
            _end_my_session.OPERATION,
            _end_my_session.build(
                session_id=session_id,
            ),
        )

    def export_me(
        self,
    ) -> AccountExport:
        """Export my data.

        Streamed, one export at a time per account (429). 503 where a service that keeps data of the
        account fails. After a broken connection it is incomplete.
        """

        return self.export_me_detailed().parsed

    def export_me_detailed(
        self,
    ) -> Response[AccountExport]:
        """As `export_me`, and return the status and the header fields as well."""
        return self._call(
            _export_me.OPERATION,
            _export_me.build(),
        )


class AsyncUsersOperations(AsyncCaller):
    """The operations with the tag users."""

    async def create_user(
        self,
        body: UserCreate,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> User:
        """Register an account.

        409 where the address has an account. The email to it holds a link that verifies it.

        Args:
            idempotency_key (str | Unset): A value of your choice, new for each operation. A repeated
                request with the same key and body gets the first response again, for 24 hours.
            body (UserCreate):
        """

        return (
            await self.create_user_detailed(
                body=body,
                idempotency_key=idempotency_key,
            )
        ).parsed

    async def create_user_detailed(
        self,
        body: UserCreate,
        *,
        idempotency_key: str | Unset = UNSET,
    ) -> Response[User]:
        """As `create_user`, and return the status and the header fields as well."""
        return await self._call(
            _create_user.OPERATION,
            _create_user.build(
                body=body,
                idempotency_key=idempotency_key,
            ),
        )

    async def get_me(
        self,
        *,
        if_none_match: str | Unset = UNSET,
    ) -> User:
        """Show my account.

        Send the ETag as If-Match with a change, and as If-None-Match to read again.

        Args:
            if_none_match (str | Unset): ETag of the caller's copy.
        """

        return (
            await self.get_me_detailed(
                if_none_match=if_none_match,
            )
        ).parsed

    async def get_me_detailed(
        self,
        *,
        if_none_match: str | Unset = UNSET,
    ) -> Response[User]:
        """As `get_me`, and return the status and the header fields as well."""
        return await self._call(
            _get_me.OPERATION,
            _get_me.build(
                if_none_match=if_none_match,
            ),
        )

    async def delete_me(
        self,
        *,
        if_match: str | Unset = UNSET,
    ) -> None:
        """Delete my account.

        Ends every session at once; a job erases the data of the account.

        401 insufficient_user_authentication (RFC 9470) where the login, not the token, is older than
        5 minutes: log in again. 409 for the last admin: promote another account first.

        Args:
            if_match (str | Unset): ETag of the version that the change is based on.
        """

        return (
            await self.delete_me_detailed(
                if_match=if_match,
            )
        ).parsed

    async def delete_me_detailed(
        self,
        *,
        if_match: str | Unset = UNSET,
    ) -> Response[None]:
        """As `delete_me`, and return the status and the header fields as well."""
        return await self._call(
            _delete_me.OPERATION,
            _delete_me.build(
                if_match=if_match,
            ),
        )

    async def update_me(
        self,
        body: UserUpdate,
        *,
        if_match: str,
    ) -> User:
        """Change my account.

        Only the given members change. The address and the password have operations of their own.

        Args:
            if_match (str): ETag of the version that the change is based on.
            body (UserUpdate): A partial update: only the given fields change.
        """

        return (
            await self.update_me_detailed(
                body=body,
                if_match=if_match,
            )
        ).parsed

    async def update_me_detailed(
        self,
        body: UserUpdate,
        *,
        if_match: str,
    ) -> Response[User]:
        """As `update_me`, and return the status and the header fields as well."""
        return await self._call(
            _update_me.OPERATION,
            _update_me.build(
                body=body,
                if_match=if_match,
            ),
        )

    async def get_user(
        self,
        user_id: UUID,
        *,
        if_none_match: str | Unset = UNSET,
    ) -> User:
        """Show an account.

        The caller's own account, or any account for an admin. 403 for other ids, existing or not.

        Args:
            user_id (UUID): Id of the account.
            if_none_match (str | Unset): ETag of the caller's copy.
        """

        return (
            await self.get_user_detailed(
                user_id=user_id,
                if_none_match=if_none_match,
            )
        ).parsed

    async def get_user_detailed(
        self,
        user_id: UUID,
        *,
        if_none_match: str | Unset = UNSET,
    ) -> Response[User]:
        """As `get_user`, and return the status and the header fields as well."""
        return await self._call(
            _get_user.OPERATION,
            _get_user.build(
                user_id=user_id,
                if_none_match=if_none_match,
            ),
        )

    async def put_my_avatar(
        self,
        body: Upload,
    ) -> Job:
        """Upload my avatar.

        A JPEG, PNG or WebP file as the body. The newest upload wins, whichever job ends last.

        Args:
            body (File):
        """

        return (
            await self.put_my_avatar_detailed(
                body=body,
            )
        ).parsed

    async def put_my_avatar_detailed(
        self,
        body: Upload,
    ) -> Response[Job]:
        """As `put_my_avatar`, and return the status and the header fields as well."""
        return await self._call(
            _put_my_avatar.OPERATION,
            _put_my_avatar.build(
                body=body,
            ),
        )

    async def get_avatar(
        self,
        user_id: UUID,
        variant: str,
    ) -> str:
        """Show an avatar.

        Redirects to a URL that needs no token. 404 while the account has no avatar.

        Args:
            user_id (UUID): Id of the account.
            variant (str): Longest side: 128, 512, 1024.
        """

        return (
            await self.get_avatar_detailed(
                user_id=user_id,
                variant=variant,
            )
        ).parsed

    async def get_avatar_detailed(
        self,
        user_id: UUID,
        variant: str,
    ) -> Response[str]:
        """As `get_avatar`, and return the status and the header fields as well."""
        return await self._call(
            _get_avatar.OPERATION,
            _get_avatar.build(
                user_id=user_id,
                variant=variant,
            ),
        )

    async def change_password(
        self,
        body: PasswordChange,
    ) -> None:
        """Change my password.

        Ends every other session. 403 where the current password is wrong.

        Args:
            body (PasswordChange):
        """

        return (
            await self.change_password_detailed(
                body=body,
            )
        ).parsed

    async def change_password_detailed(
        self,
        body: PasswordChange,
    ) -> Response[None]:
        """As `change_password`, and return the status and the header fields as well."""
        return await self._call(
            _change_password.OPERATION,
            _change_password.build(
                body=body,
            ),
        )

    async def change_email(
        self,
        body: EmailChange,
    ) -> None:
        """Change my address.

        Sends an email to the new address, which takes effect once its link was used.

        403 without the account's password. The former address, if verified, gets a link that undoes
        the change for 7 days.

        Args:
            body (EmailChange): The new address takes effect when the link in the email to it is
                confirmed.
        """

        return (
            await self.change_email_detailed(
                body=body,
            )
        ).parsed

    async def change_email_detailed(
        self,
        body: EmailChange,
    ) -> Response[None]:
        """As `change_email`, and return the status and the header fields as well."""
        return await self._call(
            _change_email.OPERATION,
            _change_email.build(
                body=body,
            ),
        )

    async def list_my_sessions(
        self,
    ) -> SessionList:
        """List my sessions.

        The active logins of the account; `current` marks the one that asks.
        """

        return (await self.list_my_sessions_detailed()).parsed

    async def list_my_sessions_detailed(
        self,
    ) -> Response[SessionList]:
        """As `list_my_sessions`, and return the status and the header fields as well."""
        return await self._call(
            _list_my_sessions.OPERATION,
            _list_my_sessions.build(),
        )

    async def end_my_session(
        self,
        session_id: UUID,
    ) -> None:
        """End one of my sessions.

        Takes effect at once, also on its access tokens. The caller's own session is allowed.

        Args:
            session_id (UUID): Id of the session.
        """

        return (
            await self.end_my_session_detailed(
                session_id=session_id,
            )
        ).parsed

    async def end_my_session_detailed(
        self,
        session_id: UUID,
    ) -> Response[None]:
        """As `end_my_session`, and return the status and the header fields as well."""
        return await self._call(
            _end_my_session.OPERATION,
            _end_my_session.build(
                session_id=session_id,
            ),
        )

    async def export_me(
        self,
    ) -> AccountExport:
        """Export my data.

        Streamed, one export at a time per account (429). 503 where a service that keeps data of the
        account fails. After a broken connection it is incomplete.
        """

        return (await self.export_me_detailed()).parsed

    async def export_me_detailed(
        self,
    ) -> Response[AccountExport]:
        """As `export_me`, and return the status and the header fields as well."""
        return await self._call(
            _export_me.OPERATION,
            _export_me.build(),
        )
