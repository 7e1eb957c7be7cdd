"""Users in memory, for tests of the edge alone. Held to the same suite as the real client."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
from pydantic import SecretStr

from api.users_client import CreatedUser, UserDocument
from twelvefold.contracts.accounts import (
    DailyAccounts,
    DailyAccountsReport,
    EmailChange,
    PasswordChange,
    Role,
    Session,
    SessionList,
    TokenPair,
    TokenRequest,
    User,
    UserAdminUpdate,
    UserCreate,
    UserExport,
    UserPage,
    UserPosition,
    UserUpdate,
)
from twelvefold.contracts.email_address import email_key
from twelvefold.contracts.images import Variant
from twelvefold.errors import (
    BadRequest,
    Conflict,
    DependencyUnavailable,
    Forbidden,
    NotFound,
    OAuthError,
    PreconditionFailed,
    ReauthenticationRequired,
    UnprocessableContent,
)
from twelvefold.http.rest.conditional import etag
from twelvefold.http.rest.idempotency_key import parse_key
from twelvefold.identifiers import new_id
from twelvefold.security.keys import KeySet
from twelvefold.security.principals import scope_of
from twelvefold.security.tokens import TokenIssuer

ISSUER = "twelvefold"
AUDIENCE = "twelvefold-api"


@dataclass
class Account:
    """One account with what proves it."""

    user: User
    password: str
    version: int = 1
    avatar: Sequence[Variant] = ()
    sessions: dict[UUID, Session] = field(default_factory=dict)

    @property
    def document(self) -> UserDocument:
        return UserDocument(self.user.model_dump_json().encode(), etag(self.version))


class FakeUsersClient:
    """Issues real tokens, signed by a key of its own. `unavailable` makes every call fail."""

    def __init__(self) -> None:
        self.keys = KeySet.generate()
        self.issuer = TokenIssuer(self.keys, ISSUER, AUDIENCE)
        self.accounts: dict[UUID, Account] = {}
        self.keyed: dict[tuple[str, str], tuple[UserCreate, CreatedUser]] = {}
        self.refresh_tokens: dict[str, UUID] = {}
        self.mailed: list[tuple[str, str]] = []
        self.unavailable = False
        self.last_admins: set[UUID] = set()
        self.calls: list[str] = []

    def token_for(self, user_id: UUID, *, role: Role = Role.USER, scope: str | None = None) -> str:
        """An access token, without asking for a password."""
        granted = scope_of(role) if scope is None else scope
        return self.issuer.issue(user_id, role, granted, new_id())

    def _record_call(self, name: str) -> None:
        self.calls.append(name)
        if self.unavailable:
            raise DependencyUnavailable("users")

    def _account(self, user_id: UUID) -> Account:
        if user_id not in self.accounts:
            raise NotFound("no such account")
        return self.accounts[user_id]

    async def create(self, new: UserCreate, *, idempotency_key: str | None = None) -> CreatedUser:
        self._record_call("create")
        parsed = parse_key(idempotency_key)
        if parsed is None:
            return self._create(new)
        key = (email_key(new.email), parsed)
        if key in self.keyed:
            first, created = self.keyed[key]
            if first != new:
                detail = "This Idempotency-Key was used with another request. Use a new key."
                raise UnprocessableContent(detail)
            return replace(created, replayed=True)
        self.keyed[key] = (new, self._create(new))
        return self.keyed[key][1]

    def _create(self, new: UserCreate) -> CreatedUser:
        if any(
            email_key(account.user.email) == email_key(new.email)
            for account in self.accounts.values()
        ):
            raise Conflict("this address is taken")
        now = datetime.now(UTC)
        user = User(
            id=new_id(),
            email=new.email,
            **new.profile,
            role=Role.USER,
            email_verified=False,
            disabled=False,
            has_avatar=False,
            created_at=now,
            updated_at=now,
        )
        self.accounts[user.id] = Account(user, new.password.get_secret_value())
        return CreatedUser(self.accounts[user.id].document, user.id)

    async def get(self, user_id: UUID, *, bearer: str) -> UserDocument:
        self._record_call("get")
        return self._account(user_id).document

    async def update(
        self,
        user_id: UUID,
        changes: UserUpdate,
        *,
        expected: Collection[int] | None,
        bearer: str,
    ) -> UserDocument:
        self._record_call("update")
        account = self._checked(user_id, expected)
        account.user = account.user.model_copy(update=changes.model_dump(exclude_unset=True))
        account.version += 1
        return account.document

    async def delete(self, user_id: UUID, *, expected: Collection[int] | None, bearer: str) -> None:
        self._record_call("delete")
        account = self._checked(user_id, expected)
        claims = jwt.decode(bearer, options={"verify_signature": False})
        session = account.sessions.get(UUID(claims["sid"]))
        if session and session.created_at < datetime.now(UTC) - timedelta(minutes=5):
            raise ReauthenticationRequired("log in again", max_age=300)
        del self.accounts[user_id]

    def _checked(self, user_id: UUID, expected: Collection[int] | None) -> Account:
        account = self._account(user_id)
        if expected is not None and account.version not in expected:
            raise PreconditionFailed("the account has changed")
        return account

    async def avatar(self, user_id: UUID, *, bearer: str) -> Sequence[Variant]:
        self._record_call("avatar")
        return self._account(user_id).avatar

    async def list(self, *, limit: int, after: UserPosition | None, bearer: str) -> UserPage:
        self._record_call("list")
        users = sorted(
            (account.user for account in self.accounts.values()),
            key=lambda user: (user.created_at, user.id),
            reverse=True,
        )
        if after is not None:
            users = [
                user for user in users if (user.created_at, user.id) < (after.created_at, after.id)
            ]
        shown = users[:limit]
        more = UserPosition(created_at=shown[-1].created_at, id=shown[-1].id) if shown else None
        return UserPage(items=shown, next=more if len(users) > limit else None)

    async def administer(
        self,
        user_id: UUID,
        changes: UserAdminUpdate,
        *,
        expected: Collection[int] | None,
        bearer: str,
    ) -> UserDocument:
        self._record_call("administer")
        account = self._checked(user_id, expected)
        changed = changes.model_dump(exclude_none=True)
        account.user = account.user.model_copy(update=changed)
        account.version += 1
        return account.document

    async def change_password(self, user_id: UUID, request: PasswordChange, *, bearer: str) -> None:
        self._record_call("change_password")
        account = self._account(user_id)
        if account.password != request.current.get_secret_value():
            raise Forbidden("the current password is wrong")
        account.password = request.new.get_secret_value()

    async def change_email(self, user_id: UUID, request: EmailChange, *, bearer: str) -> None:
        self._record_call("change_email")
        account = self._account(user_id)
        if request.password is None or account.password != request.password.get_secret_value():
            raise Forbidden("the password is wrong")
        self.mailed.append(("change", request.email))

    async def sessions(self, user_id: UUID, *, bearer: str) -> SessionList:
        self._record_call("sessions")
        return SessionList(items=[*self._account(user_id).sessions.values()])

    async def end_session(self, user_id: UUID, session_id: UUID, *, bearer: str) -> None:
        self._record_call("end_session")
        if self._account(user_id).sessions.pop(session_id, None) is None:
            raise NotFound("no such session")

    async def export(self, user_id: UUID, *, bearer: str) -> bytes:
        self._record_call("export")
        account = self._account(user_id)
        export = UserExport(
            user=account.user,
            password_changed_at=account.user.created_at,
            email_verified_at=None,
            disabled_at=None,
            avatar=[*account.avatar],
            pending_email=None,
            sessions=[*account.sessions.values()],
            active_days=[],
            mails=[],
        )
        return export.model_dump_json().encode()

    async def require_erasable(self, user_id: UUID, *, bearer: str) -> None:
        self._record_call("require_erasable")
        if user_id in self.last_admins:
            raise Conflict("At least one active admin must remain. Promote another account first.")

    async def daily(self, first: date, last: date, *, bearer: str) -> DailyAccountsReport:
        self._record_call("daily")
        if not 0 <= (last - first).days < 366:  # as users bounds it
            raise UnprocessableContent("the range is empty or too long")
        created = [account.user.created_at.date() for account in self.accounts.values()]
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        return DailyAccountsReport(
            items=[
                DailyAccounts(day=day, registrations=created.count(day), active_users=0)
                for day in days
            ]
        )

    def _opened(self, user_id: UUID, session_id: UUID, request: TokenRequest) -> None:
        now = datetime.now(UTC)
        self.accounts[user_id].sessions[session_id] = Session(
            id=session_id,
            created_at=now,
            last_used_at=now,
            expires_at=now + timedelta(days=30),
            user_agent=request.user_agent,
            address=request.address,
            current=True,
        )

    async def issue_token(self, request: TokenRequest) -> bytes:
        self._record_call("issue_token")
        if request.grant_type == "password":
            found = [
                account.user.id
                for account in self.accounts.values()
                if email_key(account.user.email) == email_key(request.username or "")
                and request.password is not None
                and account.password == request.password.get_secret_value()
            ]
        else:
            token = request.refresh_token.get_secret_value() if request.refresh_token else ""
            spent = self.refresh_tokens.pop(token, None)
            found = [] if spent is None else [spent]
        if not found:
            raise OAuthError("invalid_grant", "the credentials are not valid")
        user = self.accounts[found[0]].user
        session_id = new_id()
        self._opened(user.id, session_id, request)
        refresh = f"refresh-{time.monotonic_ns()}"
        self.refresh_tokens[refresh] = user.id
        pair = TokenPair(
            access_token=self.issuer.issue(user.id, user.role, scope_of(user.role), session_id),
            expires_in=self.issuer.ttl,
            refresh_token=refresh,
            scope=scope_of(user.role),
        )
        return pair.model_dump_json().encode()

    async def revoke_token(self, token: SecretStr) -> None:
        self._record_call("revoke_token")
        self.refresh_tokens.pop(token.get_secret_value(), None)

    async def key_set(self) -> dict[str, Any]:
        self._record_call("key_set")
        found: dict[str, Any] = json.loads(json.dumps(self.keys.public_jwks()))
        return found

    async def request_email_verification(self, email: str) -> None:
        self._record_call("request_email_verification")
        self.mailed.append(("verify", email))

    async def confirm_email(self, token: SecretStr) -> None:
        self._record_call("confirm_email")
        if token.get_secret_value() != "good-token":
            raise BadRequest("the token is not valid any more")

    async def request_password_reset(self, email: str) -> None:
        self._record_call("request_password_reset")
        self.mailed.append(("reset", email))

    async def reset_password(self, token: SecretStr, password: SecretStr) -> None:
        self._record_call("reset_password")
        if token.get_secret_value() != "good-token":
            raise BadRequest("the token is not valid any more")

    async def undo_email_change(self, token: SecretStr) -> None:
        self._record_call("undo_email_change")
        if token.get_secret_value() != "good-token":
            raise BadRequest("the token is not valid any more")
