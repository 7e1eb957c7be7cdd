"""The client of users' internal API, which sends the caller's own token.

Owns paths and bodies of that API. `twelvefold.http.internal` owns deadlines, pooling, secrets and
forwarded headers. Nothing here retries.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol
from uuid import UUID

from pydantic import SecretStr, TypeAdapter

from twelvefold.contracts.accounts import (
    DailyAccountsReport,
    EmailChange,
    PasswordChange,
    SessionList,
    TokenRequest,
    UserAdminUpdate,
    UserCreate,
    UserPage,
    UserPosition,
    UserUpdate,
)
from twelvefold.contracts.images import Variant
from twelvefold.contracts.secrets import dump_with_secrets
from twelvefold.errors import DependencyUnavailable
from twelvefold.http.edge.edge import jwks_source
from twelvefold.http.internal import InternalClient
from twelvefold.http.rest.conditional import format_if_match

_BASE = "/internal/v1"
_VARIANTS = TypeAdapter(list[Variant])


@dataclass(frozen=True, slots=True)
class UserDocument:
    """A `User` as JSON bytes and its ETag, both exactly as users wrote them."""

    body: bytes = field(repr=False)
    etag: str


@dataclass(frozen=True, slots=True)
class CreatedUser:
    """A new account.

    `id` is None only where the previous release of users made the response, which names it in the
    body alone: during a rollout, and for replays in the 24 hours after it.
    """

    document: UserDocument
    id: UUID | None
    replayed: bool = False  # the response to an earlier request with the same Idempotency-Key


class UsersClient(Protocol):
    """Accounts and credentials. `bearer` is the caller's token, which users verifies again.

    Every method raises DependencyUnavailable where users does not answer in time, and otherwise
    the error of `twelvefold.errors` that the problem document of users names.
    """

    async def create(self, new: UserCreate, *, idempotency_key: str | None = None) -> CreatedUser:
        """Register an account.

        Raises Conflict where the address is taken. With a key raises BadRequest where it is
        malformed, UnprocessableContent where it was used for another account, Conflict while the
        first request is in progress.
        """
        ...

    async def get(self, user_id: UUID, *, bearer: str) -> UserDocument:
        """Return the account. Raises NotFound."""
        ...

    async def update(
        self,
        user_id: UUID,
        changes: UserUpdate,
        *,
        expected: Collection[int] | None,
        bearer: str,
    ) -> UserDocument:
        """Change the account; `expected` None accepts any version.

        Raises PreconditionFailed where `expected` lacks the current version.
        """
        ...

    async def delete(self, user_id: UUID, *, expected: Collection[int] | None, bearer: str) -> None:
        """Delete the account.

        Raises ReauthenticationRequired where the login is too old, Conflict for the last admin.
        """
        ...

    async def avatar(self, user_id: UUID, *, bearer: str) -> Sequence[Variant]:
        """Return the variants of the account's avatar; empty where it has none."""
        ...

    async def list(self, *, limit: int, after: UserPosition | None, bearer: str) -> UserPage:
        """Return a page of all accounts, newest first. Raises Forbidden unless for an admin."""
        ...

    async def administer(
        self,
        user_id: UUID,
        changes: UserAdminUpdate,
        *,
        expected: Collection[int] | None,
        bearer: str,
    ) -> UserDocument:
        """Change role or disabling. Raises as `update`, and Conflict for the last admin."""
        ...

    async def change_password(self, user_id: UUID, request: PasswordChange, *, bearer: str) -> None:
        """Change the password.

        Raises Forbidden where the current one is wrong, UnprocessableContent for a weak new one.
        """
        ...

    async def change_email(self, user_id: UUID, request: EmailChange, *, bearer: str) -> None:
        """Have an email sent to the new address. Raises Forbidden without the right password."""
        ...

    async def sessions(self, user_id: UUID, *, bearer: str) -> SessionList: ...

    async def end_session(self, user_id: UUID, session_id: UUID, *, bearer: str) -> None:
        """End a session. Raises NotFound where the account has no such session."""
        ...

    async def export(self, user_id: UUID, *, bearer: str) -> bytes:
        """Return all data that users keeps about the account: a `UserExport` as JSON."""
        ...

    async def require_erasable(self, user_id: UUID, *, bearer: str) -> None:
        """Check that the account may be erased.

        Raises Forbidden where the caller is no active admin by its row, Conflict where no active
        admin would be left without the account.
        """
        ...

    async def daily(self, first: date, last: date, *, bearer: str) -> DailyAccountsReport:
        """Return the counts of each day, both ends included.

        Raises UnprocessableContent for a range that is empty or too long.
        """
        ...

    async def issue_token(self, request: TokenRequest) -> bytes:
        """Return a `TokenPair` as JSON. Raises OAuthError where the grant is refused."""
        ...

    async def revoke_token(self, token: SecretStr) -> None:
        """End the session of the token; an unknown one changes nothing (RFC 7009 section 2.2)."""
        ...

    async def key_set(self) -> Mapping[str, Any]:
        """Return the public keys of tokens as a JWK set (RFC 7517 section 5)."""
        ...

    async def request_email_verification(self, email: str) -> None: ...

    async def confirm_email(self, token: SecretStr) -> None:
        """Use an emailed token. Raises BadRequest where it is unknown, used or expired."""
        ...

    async def request_password_reset(self, email: str) -> None: ...

    async def reset_password(self, token: SecretStr, password: SecretStr) -> None:
        """Use an emailed token. Raises BadRequest where it is unknown, used or expired."""
        ...

    async def undo_email_change(self, token: SecretStr) -> None:
        """Restore the former address. Raises BadRequest as `confirm_email`."""
        ...


class HttpUsersClient:
    """The client over HTTP; see the OpenAPI document of users' internal app."""

    def __init__(self, client: InternalClient) -> None:
        self._client = client
        self._key_set = jwks_source(client)

    async def create(self, new: UserCreate, *, idempotency_key: str | None = None) -> CreatedUser:
        response = await self._client.request(
            "POST",
            f"{_BASE}/users",
            json=dump_with_secrets(new),
            idempotency_key=idempotency_key,
        )
        location = response.headers.get("location")
        return CreatedUser(
            _document(response),
            None if location is None else UUID(location.rpartition("/")[2]),
            replayed="idempotency-replayed" in response.headers,
        )

    async def get(self, user_id: UUID, *, bearer: str) -> UserDocument:
        path = f"{_BASE}/users/{user_id}"
        return _document(await self._client.request("GET", path, bearer=bearer))

    async def update(
        self,
        user_id: UUID,
        changes: UserUpdate,
        *,
        expected: Collection[int] | None,
        bearer: str,
    ) -> UserDocument:
        response = await self._client.request(
            "PATCH",
            f"{_BASE}/users/{user_id}",
            json=changes.model_dump(mode="json", exclude_unset=True),
            headers={"If-Match": format_if_match(expected)},
            bearer=bearer,
        )
        return _document(response)

    async def delete(self, user_id: UUID, *, expected: Collection[int] | None, bearer: str) -> None:
        headers = {"If-Match": format_if_match(expected)}
        path = f"{_BASE}/users/{user_id}"
        await self._client.request("DELETE", path, headers=headers, bearer=bearer)

    async def avatar(self, user_id: UUID, *, bearer: str) -> Sequence[Variant]:
        path = f"{_BASE}/users/{user_id}/avatar"
        response = await self._client.request("GET", path, bearer=bearer)
        return _VARIANTS.validate_python(response.json().get("variants", []))

    async def list(self, *, limit: int, after: UserPosition | None, bearer: str) -> UserPage:
        params: dict[str, Any] = {"limit": limit}
        if after is not None:
            params |= {"after_time": after.created_at.isoformat(), "after_id": str(after.id)}
        response = await self._client.request("GET", f"{_BASE}/users", params=params, bearer=bearer)
        return UserPage.model_validate_json(response.content)

    async def administer(
        self,
        user_id: UUID,
        changes: UserAdminUpdate,
        *,
        expected: Collection[int] | None,
        bearer: str,
    ) -> UserDocument:
        response = await self._client.request(
            "PATCH",
            f"{_BASE}/users/{user_id}/standing",
            json=changes.model_dump(mode="json", exclude_unset=True),
            headers={"If-Match": format_if_match(expected)},
            bearer=bearer,
        )
        return _document(response)

    async def change_password(self, user_id: UUID, request: PasswordChange, *, bearer: str) -> None:
        path = f"{_BASE}/users/{user_id}/password"
        await self._client.request("POST", path, json=dump_with_secrets(request), bearer=bearer)

    async def change_email(self, user_id: UUID, request: EmailChange, *, bearer: str) -> None:
        path = f"{_BASE}/users/{user_id}/email"
        await self._client.request("POST", path, json=dump_with_secrets(request), bearer=bearer)

    async def sessions(self, user_id: UUID, *, bearer: str) -> SessionList:
        path = f"{_BASE}/users/{user_id}/sessions"
        response = await self._client.request("GET", path, bearer=bearer)
        return SessionList.model_validate_json(response.content)

    async def end_session(self, user_id: UUID, session_id: UUID, *, bearer: str) -> None:
        path = f"{_BASE}/users/{user_id}/sessions/{session_id}"
        await self._client.request("DELETE", path, bearer=bearer)

    async def export(self, user_id: UUID, *, bearer: str) -> bytes:
        path = f"{_BASE}/users/{user_id}/export"
        return (await self._client.request("GET", path, bearer=bearer)).content

    async def require_erasable(self, user_id: UUID, *, bearer: str) -> None:
        await self._client.request("GET", f"{_BASE}/users/{user_id}/erasure", bearer=bearer)

    async def daily(self, first: date, last: date, *, bearer: str) -> DailyAccountsReport:
        response = await self._client.request(
            "GET",
            f"{_BASE}/analytics/daily",
            params={"from": first.isoformat(), "to": last.isoformat()},
            bearer=bearer,
        )
        return DailyAccountsReport.model_validate_json(response.content)

    async def issue_token(self, request: TokenRequest) -> bytes:
        body = dump_with_secrets(request)
        return (await self._client.request("POST", f"{_BASE}/tokens", json=body)).content

    async def revoke_token(self, token: SecretStr) -> None:
        await self._post("tokens/revoke", {"token": token.get_secret_value()})

    async def key_set(self) -> Mapping[str, Any]:
        return await self._key_set()

    async def request_email_verification(self, email: str) -> None:
        await self._post("email-verifications", {"email": email})

    async def confirm_email(self, token: SecretStr) -> None:
        await self._post("email-verifications/confirm", {"token": token.get_secret_value()})

    async def request_password_reset(self, email: str) -> None:
        await self._post("password-resets", {"email": email})

    async def reset_password(self, token: SecretStr, password: SecretStr) -> None:
        body = {"token": token.get_secret_value(), "password": password.get_secret_value()}
        await self._post("password-resets/confirm", body)

    async def undo_email_change(self, token: SecretStr) -> None:
        await self._post("email-changes/undo", {"token": token.get_secret_value()})

    async def _post(self, path: str, body: dict[str, str]) -> None:
        await self._client.request("POST", f"{_BASE}/{path}", json=body)


def _document(response: Any) -> UserDocument:
    etag = response.headers.get("etag")
    if etag is None:  # the client could not make a conditional request
        raise DependencyUnavailable("users")
    return UserDocument(response.content, etag)
