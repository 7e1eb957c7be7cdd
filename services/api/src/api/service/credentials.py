"""Tokens, their keys, and emails that verify an address: all calls go to users."""

from __future__ import annotations

from pydantic import SecretStr

from api.users_client import UsersClient
from twelvefold.contracts.accounts import TokenRequest
from twelvefold.security.published_keys import PublishedKeys


class Credentials:
    """Use cases without a token. None of them reveals whether an account exists."""

    def __init__(self, users: UsersClient, keys: PublishedKeys) -> None:
        self._users = users
        self._keys = keys

    async def issue_token(self, request: TokenRequest) -> bytes:
        """Return a `TokenPair` as JSON. Raises OAuthError where the grant is refused."""
        return await self._users.issue_token(request)

    async def revoke_token(self, token: SecretStr) -> None:
        await self._users.revoke_token(token)

    async def key_set(self) -> bytes:
        """Return the public keys of tokens as JSON."""
        return await self._keys.current_json()

    async def request_email_verification(self, email: str) -> None:
        await self._users.request_email_verification(email)

    async def confirm_email(self, token: SecretStr) -> None:
        """Use an emailed token. Raises BadRequest where it is unknown, used or expired."""
        await self._users.confirm_email(token)

    async def request_password_reset(self, email: str) -> None:
        await self._users.request_password_reset(email)

    async def reset_password(self, token: SecretStr, password: SecretStr) -> None:
        """Use an emailed token. Raises BadRequest where it is unknown, used or expired."""
        await self._users.reset_password(token, password)

    async def undo_email_change(self, token: SecretStr) -> None:
        """Use an emailed token. Raises BadRequest where it is unknown, used or expired."""
        await self._users.undo_email_change(token)
