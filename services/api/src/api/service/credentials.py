"""Tokens, their keys, and emails that verify an address: all calls go to users."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import SecretStr

from api.users_client import UsersClient
from twelvefold.contracts.accounts import TokenRequest
from twelvefold.errors import DependencyUnavailable

KEYS_MAX_AGE = 300.0  # seconds that the keys are served without a request to users


class PublishedKeys:
    """The last JWK set from users, served also while users is unavailable.

    One source for the endpoint and for the verifier, which calls `fetch` for new keys.
    """

    def __init__(self, users: UsersClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._users = users
        self._clock = clock
        self._keys: dict[str, Any] | None = None
        self._fetched_at = 0.0
        self._fetching = asyncio.Lock()

    async def fetch(self) -> Mapping[str, Any]:
        """Request the keys from users. Raises DependencyUnavailable where it does not answer."""
        keys = await self._users.key_set()
        self._keys, self._fetched_at = keys, self._clock()
        return keys

    async def current(self) -> Mapping[str, Any]:
        """Return keys of at most 5 minutes, or older ones while users is unavailable.

        Raises DependencyUnavailable without any keys.
        """
        async with self._fetching:
            if self._keys is not None and self._clock() - self._fetched_at < KEYS_MAX_AGE:
                return self._keys
            try:
                return await self.fetch()
            except DependencyUnavailable:
                if self._keys is None:
                    raise
                # Not every request in the meantime tries again.
                self._fetched_at = self._clock() - KEYS_MAX_AGE + 10.0
                return self._keys


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

    async def key_set(self) -> Mapping[str, Any]:
        return await self._keys.current()

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
