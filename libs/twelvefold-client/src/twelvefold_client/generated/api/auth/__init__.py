"""The operations with the tag auth."""

from __future__ import annotations

import datetime
from typing import Any, cast
from uuid import UUID

from ...client import AsyncCaller, Caller
from ...models.create_token_o_auth_error import CreateTokenOAuthError
from ...models.create_token_password_grant import CreateTokenPasswordGrant
from ...models.create_token_refresh_token_grant import CreateTokenRefreshTokenGrant
from ...models.email_address import EmailAddress
from ...models.email_change_undo import EmailChangeUndo
from ...models.email_confirmation import EmailConfirmation
from ...models.password_reset import PasswordReset
from ...models.problem import Problem
from ...models.revoke_token_o_auth_error import RevokeTokenOAuthError
from ...models.revoke_token_token_revocation import RevokeTokenTokenRevocation
from ...models.token_pair import TokenPair
from ...types import UNSET, Response, Unset, Upload
from . import confirm_email as _confirm_email
from . import create_token as _create_token
from . import request_email_verification as _request_email_verification
from . import request_password_reset as _request_password_reset
from . import reset_password as _reset_password
from . import revoke_token as _revoke_token
from . import undo_email_change as _undo_email_change


class AuthOperations(Caller):
    """The operations with the tag auth."""

    def create_token(
        self,
        body: CreateTokenPasswordGrant | CreateTokenRefreshTokenGrant,
    ) -> TokenPair:
        """Log in, or exchange a refresh token.

        Each refresh token works once; use the new one from then on.

        Args:
            body (CreateTokenPasswordGrant | CreateTokenRefreshTokenGrant):
        """

        return self.create_token_detailed(
            body=body,
        ).parsed

    def create_token_detailed(
        self,
        body: CreateTokenPasswordGrant | CreateTokenRefreshTokenGrant,
    ) -> Response[TokenPair]:
        """As `create_token`, and return the status and the header fields as well."""
        return self._call(
            _create_token.OPERATION,
            _create_token.build(
                body=body,
            ),
        )

    def revoke_token(
        self,
        body: RevokeTokenTokenRevocation,
    ) -> None:
        """Revoke a token and its session.

        A refresh token or an access token; either ends the whole session at once (RFC 7009).

        Args:
            body (RevokeTokenTokenRevocation):
        """

        return self.revoke_token_detailed(
            body=body,
        ).parsed

    def revoke_token_detailed(
        self,
        body: RevokeTokenTokenRevocation,
    ) -> Response[None]:
        """As `revoke_token`, and return the status and the header fields as well."""
        return self._call(
            _revoke_token.OPERATION,
            _revoke_token.build(
                body=body,
            ),
        )

    def request_email_verification(
        self,
        body: EmailAddress,
    ) -> None:
        """Request an email that verifies an address.

        The link expires in 24 hours. At most 6 an hour are sent to one address.

        Args:
            body (EmailAddress):
        """

        return self.request_email_verification_detailed(
            body=body,
        ).parsed

    def request_email_verification_detailed(
        self,
        body: EmailAddress,
    ) -> Response[None]:
        """As `request_email_verification`, and return the status and the header fields as well."""
        return self._call(
            _request_email_verification.OPERATION,
            _request_email_verification.build(
                body=body,
            ),
        )

    def confirm_email(
        self,
        body: EmailConfirmation,
    ) -> None:
        """Verify an address by the emailed token.

        The token works once; 400 where it is unknown, used or expired.

        Args:
            body (EmailConfirmation):
        """

        return self.confirm_email_detailed(
            body=body,
        ).parsed

    def confirm_email_detailed(
        self,
        body: EmailConfirmation,
    ) -> Response[None]:
        """As `confirm_email`, and return the status and the header fields as well."""
        return self._call(
            _confirm_email.OPERATION,
            _confirm_email.build(
                body=body,
            ),
        )

    def request_password_reset(
        self,
        body: EmailAddress,
    ) -> None:
        """Request an email that resets a password.

        The link expires in 10 minutes. At most 6 an hour are sent to one address.

        Args:
            body (EmailAddress):
        """

        return self.request_password_reset_detailed(
            body=body,
        ).parsed

    def request_password_reset_detailed(
        self,
        body: EmailAddress,
    ) -> Response[None]:
        """As `request_password_reset`, and return the status and the header fields as well."""
        return self._call(
            _request_password_reset.OPERATION,
            _request_password_reset.build(
                body=body,
            ),
        )

    def reset_password(
        self,
        body: PasswordReset,
    ) -> None:
        """Set a new password by the emailed token.

        Ends every session of the account.

        Args:
            body (PasswordReset):
        """

        return self.reset_password_detailed(
            body=body,
        ).parsed

    def reset_password_detailed(
        self,
        body: PasswordReset,
    ) -> Response[None]:
        """As `reset_password`, and return the status and the header fields as well."""
        return self._call(
            _reset_password.OPERATION,
            _reset_password.build(
                body=body,
            ),
        )

    def undo_email_change(
        self,
        body: EmailChangeUndo,
    ) -> None:
        """Restore an address by the emailed token.

        Possible for 7 days after the change. Ends every session, voids the password, and sends a
        link for a new one to the restored address.

        Args:
            body (EmailChangeUndo):
        """

        return self.undo_email_change_detailed(
            body=body,
        ).parsed

    def undo_email_change_detailed(
        self,
        body: EmailChangeUndo,
    ) -> Response[None]:
        """As `undo_email_change`, and return the status and the header fields as well."""
        return self._call(
            _undo_email_change.OPERATION,
            _undo_email_change.build(
                body=body,
            ),
        )


class AsyncAuthOperations(AsyncCaller):
    """The operations with the tag auth."""

    async def create_token(
        self,
        body: CreateTokenPasswordGrant | CreateTokenRefreshTokenGrant,
    ) -> TokenPair:
        """Log in, or exchange a refresh token.

        Each refresh token works once; use the new one from then on.

        Args:
            body (CreateTokenPasswordGrant | CreateTokenRefreshTokenGrant):
        """

        return (
            await self.create_token_detailed(
                body=body,
            )
        ).parsed

    async def create_token_detailed(
        self,
        body: CreateTokenPasswordGrant | CreateTokenRefreshTokenGrant,
    ) -> Response[TokenPair]:
        """As `create_token`, and return the status and the header fields as well."""
        return await self._call(
            _create_token.OPERATION,
            _create_token.build(
                body=body,
            ),
        )

    async def revoke_token(
        self,
        body: RevokeTokenTokenRevocation,
    ) -> None:
        """Revoke a token and its session.

        A refresh token or an access token; either ends the whole session at once (RFC 7009).

        Args:
            body (RevokeTokenTokenRevocation):
        """

        return (
            await self.revoke_token_detailed(
                body=body,
            )
        ).parsed

    async def revoke_token_detailed(
        self,
        body: RevokeTokenTokenRevocation,
    ) -> Response[None]:
        """As `revoke_token`, and return the status and the header fields as well."""
        return await self._call(
            _revoke_token.OPERATION,
            _revoke_token.build(
                body=body,
            ),
        )

    async def request_email_verification(
        self,
        body: EmailAddress,
    ) -> None:
        """Request an email that verifies an address.

        The link expires in 24 hours. At most 6 an hour are sent to one address.

        Args:
            body (EmailAddress):
        """

        return (
            await self.request_email_verification_detailed(
                body=body,
            )
        ).parsed

    async def request_email_verification_detailed(
        self,
        body: EmailAddress,
    ) -> Response[None]:
        """As `request_email_verification`, and return the status and the header fields as well."""
        return await self._call(
            _request_email_verification.OPERATION,
            _request_email_verification.build(
                body=body,
            ),
        )

    async def confirm_email(
        self,
        body: EmailConfirmation,
    ) -> None:
        """Verify an address by the emailed token.

        The token works once; 400 where it is unknown, used or expired.

        Args:
            body (EmailConfirmation):
        """

        return (
            await self.confirm_email_detailed(
                body=body,
            )
        ).parsed

    async def confirm_email_detailed(
        self,
        body: EmailConfirmation,
    ) -> Response[None]:
        """As `confirm_email`, and return the status and the header fields as well."""
        return await self._call(
            _confirm_email.OPERATION,
            _confirm_email.build(
                body=body,
            ),
        )

    async def request_password_reset(
        self,
        body: EmailAddress,
    ) -> None:
        """Request an email that resets a password.

        The link expires in 10 minutes. At most 6 an hour are sent to one address.

        Args:
            body (EmailAddress):
        """

        return (
            await self.request_password_reset_detailed(
                body=body,
            )
        ).parsed

    async def request_password_reset_detailed(
        self,
        body: EmailAddress,
    ) -> Response[None]:
        """As `request_password_reset`, and return the status and the header fields as well."""
        return await self._call(
            _request_password_reset.OPERATION,
            _request_password_reset.build(
                body=body,
            ),
        )

    async def reset_password(
        self,
        body: PasswordReset,
    ) -> None:
        """Set a new password by the emailed token.

        Ends every session of the account.

        Args:
            body (PasswordReset):
        """

        return (
            await self.reset_password_detailed(
                body=body,
            )
        ).parsed

    async def reset_password_detailed(
        self,
        body: PasswordReset,
    ) -> Response[None]:
        """As `reset_password`, and return the status and the header fields as well."""
        return await self._call(
            _reset_password.OPERATION,
            _reset_password.build(
                body=body,
            ),
        )

    async def undo_email_change(
        self,
        body: EmailChangeUndo,
    ) -> None:
        """Restore an address by the emailed token.

        Possible for 7 days after the change. Ends every session, voids the password, and sends a
        link for a new one to the restored address.

        Args:
            body (EmailChangeUndo):
        """

        return (
            await self.undo_email_change_detailed(
                body=body,
            )
        ).parsed

    async def undo_email_change_detailed(
        self,
        body: EmailChangeUndo,
    ) -> Response[None]:
        """As `undo_email_change`, and return the status and the header fields as well."""
        return await self._call(
            _undo_email_change.OPERATION,
            _undo_email_change.build(
                body=body,
            ),
        )
