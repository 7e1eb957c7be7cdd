"""The operations with the tag admin."""

from __future__ import annotations

import datetime
from typing import Any, cast
from uuid import UUID

from ...client import AsyncCaller, Caller
from ...models.daily_analytics_report import DailyAnalyticsReport
from ...models.problem import Problem
from ...models.user import User
from ...models.user_admin_update import UserAdminUpdate
from ...models.user_list import UserList
from ...types import UNSET, Response, Unset, Upload
from . import get_daily_analytics as _get_daily_analytics
from . import list_users as _list_users
from . import update_user as _update_user


class AdminOperations(Caller):
    """The operations with the tag admin."""

    def list_users(
        self,
        *,
        limit: int | Unset = 20,
        cursor: str | Unset = UNSET,
    ) -> UserList:
        """List accounts.

        All accounts, disabled ones included. A cursor belongs to this list.

        Args:
            limit (int | Unset): Maximum number of items in the page. Default: 20.
            cursor (str | Unset): `next_cursor` of the previous page.
        """

        return self.list_users_detailed(
            limit=limit,
            cursor=cursor,
        ).parsed

    def list_users_detailed(
        self,
        *,
        limit: int | Unset = 20,
        cursor: str | Unset = UNSET,
    ) -> Response[UserList]:
        """As `list_users`, and return the status and the header fields as well."""
        return self._call(
            _list_users.OPERATION,
            _list_users.build(
                limit=limit,
                cursor=cursor,
            ),
        )

    def update_user(
        self,
        user_id: UUID,
        body: UserAdminUpdate,
        *,
        if_match: str,
    ) -> User:
        """Change an account's role, or disable it.

        Ends the account's sessions. 409 where no admin would be left.

        Args:
            user_id (UUID): Id of the account.
            if_match (str): ETag of the version that the change is based on.
            body (UserAdminUpdate): A partial update by an admin: only the given fields change.
        """

        return self.update_user_detailed(
            user_id=user_id,
            body=body,
            if_match=if_match,
        ).parsed

    def update_user_detailed(
        self,
        user_id: UUID,
        body: UserAdminUpdate,
        *,
        if_match: str,
    ) -> Response[User]:
        """As `update_user`, and return the status and the header fields as well."""
        return self._call(
            _update_user.OPERATION,
            _update_user.build(
                user_id=user_id,
                body=body,
                if_match=if_match,
            ),
        )

    def get_daily_analytics(
        self,
        *,
        from_: datetime.date,
        to: datetime.date,
    ) -> DailyAnalyticsReport:
        """Show the counts of each day.

        404 where the operator has disabled analytics (ENABLE_ANALYTICS).

        Args:
            from_ (datetime.date): First day (UTC).
            to (datetime.date): Last day (UTC); at most 366 days in all.
        """

        return self.get_daily_analytics_detailed(
            from_=from_,
            to=to,
        ).parsed

    def get_daily_analytics_detailed(
        self,
        *,
        from_: datetime.date,
        to: datetime.date,
    ) -> Response[DailyAnalyticsReport]:
        """As `get_daily_analytics`, and return the status and the header fields as well."""
        return self._call(
            _get_daily_analytics.OPERATION,
            _get_daily_analytics.build(
                from_=from_,
                to=to,
            ),
        )


class AsyncAdminOperations(AsyncCaller):
    """The operations with the tag admin."""

    async def list_users(
        self,
        *,
        limit: int | Unset = 20,
        cursor: str | Unset = UNSET,
    ) -> UserList:
        """List accounts.

        All accounts, disabled ones included. A cursor belongs to this list.

        Args:
            limit (int | Unset): Maximum number of items in the page. Default: 20.
            cursor (str | Unset): `next_cursor` of the previous page.
        """

        return (
            await self.list_users_detailed(
                limit=limit,
                cursor=cursor,
            )
        ).parsed

    async def list_users_detailed(
        self,
        *,
        limit: int | Unset = 20,
        cursor: str | Unset = UNSET,
    ) -> Response[UserList]:
        """As `list_users`, and return the status and the header fields as well."""
        return await self._call(
            _list_users.OPERATION,
            _list_users.build(
                limit=limit,
                cursor=cursor,
            ),
        )

    async def update_user(
        self,
        user_id: UUID,
        body: UserAdminUpdate,
        *,
        if_match: str,
    ) -> User:
        """Change an account's role, or disable it.

        Ends the account's sessions. 409 where no admin would be left.

        Args:
            user_id (UUID): Id of the account.
            if_match (str): ETag of the version that the change is based on.
            body (UserAdminUpdate): A partial update by an admin: only the given fields change.
        """

        return (
            await self.update_user_detailed(
                user_id=user_id,
                body=body,
                if_match=if_match,
            )
        ).parsed

    async def update_user_detailed(
        self,
        user_id: UUID,
        body: UserAdminUpdate,
        *,
        if_match: str,
    ) -> Response[User]:
        """As `update_user`, and return the status and the header fields as well."""
        return await self._call(
            _update_user.OPERATION,
            _update_user.build(
                user_id=user_id,
                body=body,
                if_match=if_match,
            ),
        )

    async def get_daily_analytics(
        self,
        *,
        from_: datetime.date,
        to: datetime.date,
    ) -> DailyAnalyticsReport:
        """Show the counts of each day.

        404 where the operator has disabled analytics (ENABLE_ANALYTICS).

        Args:
            from_ (datetime.date): First day (UTC).
            to (datetime.date): Last day (UTC); at most 366 days in all.
        """

        return (
            await self.get_daily_analytics_detailed(
                from_=from_,
                to=to,
            )
        ).parsed

    async def get_daily_analytics_detailed(
        self,
        *,
        from_: datetime.date,
        to: datetime.date,
    ) -> Response[DailyAnalyticsReport]:
        """As `get_daily_analytics`, and return the status and the header fields as well."""
        return await self._call(
            _get_daily_analytics.OPERATION,
            _get_daily_analytics.build(
                from_=from_,
                to=to,
            ),
        )
