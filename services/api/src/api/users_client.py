"""What the edge asks of users, and how: over its internal port, with the caller's own token.

Owns paths and shapes of users' internal API. Deadlines, pooling, secrets and forwarded headers are
`twelvefold.http.internal`'s; nothing here retries.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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

    `id` is None only where a release of users answered that does not name it beside the body, now
    or, for a replay, up to 24 hours ago.
    """

    document: UserDocument
    id: UUID | None
    replayed: bool = False  # the response to an earlier request with the same Idempotency-Key


class UsersClient(Protocol):
    """Accounts and credentials. `bearer` is the caller's token, which users verifies again.

    Every method raises DependencyUnavailable where users does not answer in time, and the error
    of `twelvefold.errors` that users' problem names where it refuses.
    """

    async def create(self, new: UserCreate, *, idempotency_key: str | None = None) -> CreatedUser:
        """Raises Conflict where the address is taken; with a key BadRequest where it is malformed,
        Invalid where it was used for another account, Conflict while the first request runs.
        """
        ...

    async def get(self, user_id: UUID, *, bearer: str) -> UserDocument:
        """Raises NotFound where there is no such account."""
        ...

    async def update(
        self,
        user_id: UUID,
        changes: UserUpdate,
        *,
        expected: Collection[int] | None,
        bearer: str,
    ) -> UserDocument:
        """`expected` None takes any version. Raises PreconditionFailed where it lacks the current."""
        ...

    async def delete(self, user_id: UUID, *, expected: Collection[int] | None, bearer: str) -> None:
        """Raises ReauthenticationRequired where the login is old, Conflict for the last admin."""
        ...

    async def avatar(self, user_id: UUID, *, bearer: str) -> Sequence[Variant]:
        """The variants of the account's avatar; empty where it has none."""
        ...

    async def list(self, *, limit: int, after: UserPosition | None, bearer: str) -> UserPage:
        """Newest first, of everybody. Raises Forbidden unless the caller is an admin."""
        ...

    async def administer(
        self,
        user_id: UUID,
        changes: UserAdminUpdate,
        *,
        expected: Collection[int] | None,
        bearer: str,
    ) -> UserDocument:
        """Raises as `update`, and Conflict where no admin would be left."""
        ...

    async def change_password(self, user_id: UUID, request: PasswordChange, *, bearer: str) -> None:
        """Raises Forbidden where the current one is wrong, Invalid where the new one is weak."""
        ...

    async def change_email(self, user_id: UUID, request: EmailChange, *, bearer: str) -> None:
        """Has a mail sent to the new address. Raises Forbidden without the right password."""
        ...

    async def sessions(self, user_id: UUID, *, bearer: str) -> SessionList: ...

    async def end_session(self, user_id: UUID, session_id: UUID, *, bearer: str) -> None:
        """Raises NotFound where the account has no such session."""
        ...

    async def export(self, user_id: UUID, *, bearer: str) -> bytes:
        """Everything that users keeps about the account: a `UserExport` as JSON."""
        ...

    async def require_erasable(self, user_id: UUID, *, bearer: str) -> None:
        """Raises Forbidden where the caller is no active admin by its row, Conflict where no
        active admin would be left without the account.
        """
        ...

    async def daily(self, first: date, last: date, *, bearer: str) -> DailyAccountsReport:
        """Both days included. Raises Invalid for a range that is empty or too long."""
        ...

    async def issue_token(self, request: TokenRequest) -> bytes:
        """A `TokenPair` as JSON. Raises OAuthError where the grant is refused."""
        ...

    async def revoke_token(self, token: SecretStr) -> None:
        """Succeeds for an unknown token too (RFC 7009 section 2.2)."""
        ...

    async def key_set(self) -> dict[str, Any]:
        """The public keys of tokens as a JWK set (RFC 7517 section 5)."""
        ...

    async def request_email_verification(self, email: str) -> None: ...

    async def confirm_email(self, token: SecretStr) -> None:
        """Raises BadRequest where the token is unknown, used or too old."""
        ...

    async def request_password_reset(self, email: str) -> None: ...

    async def reset_password(self, token: SecretStr, password: SecretStr) -> None:
        """Raises BadRequest where the token is unknown, used or too old."""
        ...

    async def undo_email_change(self, token: SecretStr) -> None:
        """Restores the address before. Raises BadRequest as `confirm_email`."""
        ...


class HttpUsersClient:
    """Over HTTP, see users' OpenAPI document of its internal app."""

    def __init__(self, client: InternalClient) -> None:
        self._client = client

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

    async def key_set(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self._client.request("GET", f"{_BASE}/jwks")).json()
        return found

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
