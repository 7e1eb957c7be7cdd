"""Sessions: log in, exchange refresh tokens, end.

A login starts a family of refresh tokens. Each token is exchanged for the next. A lost response
looks like theft, so for LEEWAY after its use a token may be exchanged again, for the same successor
and only until that one has been used: a family is a chain and never forks. Any other reuse ends the
family (RFC 9700 section 4.14.2). A family ends 30 days after its login.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import NoReturn
from uuid import UUID

import structlog

from twelvefold.contracts.accounts import Role, Session, SessionList, TokenPair
from twelvefold.contracts.email_address import MAX_LENGTH, email_key
from twelvefold.contracts.text import has_forbidden_characters, remove_forbidden_characters
from twelvefold.database.database import Database, Transaction, retry_once
from twelvefold.errors import NotFound, OAuthError, Overloaded, Unauthenticated
from twelvefold.identifiers import new_id
from twelvefold.security.passwords import PasswordHasher
from twelvefold.security.principals import scope_of
from twelvefold.security.revocation import RevocationList
from twelvefold.security.tokens import TokenIssuer, TokenVerifier
from users.repository import activity, credentials
from users.repository import sessions as repository
from users.repository.credentials import Credentials
from users.service.post_commit import PostCommitTask, PostCommitTasks
from users.service.throttle import LoginThrottle

LIFETIME = timedelta(days=30)
LEEWAY = timedelta(seconds=10)
_SECRET_BYTES = 32
_SHOWN = 1000  # sessions in a list
_MAX_NOTE = 200  # characters of a client's user agent and address


_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Client:
    """Origin of a login, for the list of sessions."""

    user_agent: str | None = None
    address: str | None = None


def new_secret() -> str:
    """Return 256 random bits as text for a URL or a header."""
    return _encode_secret(secrets.token_bytes(_SECRET_BYTES))


def derive_successor(token: str, salt: bytes) -> str:
    """Return the refresh token after `token`: its HMAC-SHA256 (RFC 2104) with the row's salt.

    The stored salt alone does not suffice: of `token` only a hash is stored.
    """
    return _encode_secret(hmac.digest(salt, token.encode("utf-8", "replace"), "sha256"))


def _encode_secret(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hashed(secret: str) -> bytes:
    """Return the stored form of a secret, which is random and needs no salt and no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


@dataclass(frozen=True, slots=True)
class Sessions:
    """The use cases. They raise `OAuthError` with the codes of RFC 6749 section 5.2."""

    database: Database
    hasher: PasswordHasher
    issuer: TokenIssuer
    verifier: TokenVerifier
    revocations: RevocationList
    post_commit_tasks: PostCommitTasks
    throttle: LoginThrottle
    count_active: bool
    scopes: Sequence[str] = ()  # of every token, besides those of the suite's own services

    async def log_in(self, username: str, password: str, client: Client) -> TokenPair:
        """Return the tokens of a new session.

        An unknown address, a wrong password and a disabled account have the same response and do
        the same work. Raises OAuthError invalid_grant, TooManyRequests after too many wrong
        passwords, Overloaded where too many log in at once.
        """
        attempt = await self.throttle.admit(email_key(username[:MAX_LENGTH]), client.address)
        found: Credentials | None = None
        if len(username) <= MAX_LENGTH and not has_forbidden_characters(username):
            async with self.database.read() as reader:
                found = await credentials.by_email(reader, username)
        checked = await self.hasher.verify(password, found.password_hash if found else None)
        if found is None or not checked or found.disabled:
            _refuse("the address or the password is wrong")
        await self.throttle.record_success(attempt)
        refresh_token, session_id = new_secret(), new_id()
        async with self.database.transaction() as transaction:
            role = await credentials.role_if_unchanged(transaction, found)
            if role is None:
                _refuse("the address or the password is wrong")
            await repository.forget_ended(transaction, found.account_id)
            await repository.insert_session(
                transaction,
                session_id=session_id,
                account_id=found.account_id,
                lifetime=LIFETIME,
                user_agent=_sanitize(client.user_agent),
                address=_sanitize(client.address),
            )
            await repository.insert_token(transaction, hashed(refresh_token), session_id)
            if self.count_active:
                await activity.mark_active(transaction, found.account_id)
        if checked.is_outdated:
            self.post_commit_tasks.start(partial(self._rehash, found, password))
        return self._pair(found.account_id, role, session_id, refresh_token)

    @retry_once
    async def refresh(self, token: str) -> TokenPair:
        """Return the next tokens of the session. Raises OAuthError invalid_grant.

        The lock on the row serialises the exchanges of one family. A reuse is refused and ends the
        family, which must commit although the response is an error.
        """
        async with self.database.transaction() as transaction:
            family = await repository.lock_by_token(transaction, hashed(token))
            if family is None or family.revoked or family.expired or family.disabled:
                _refuse("the refresh token is unknown, revoked or has expired")
            outcome = await self._exchange(transaction, family.id, token)
            if self.count_active and isinstance(outcome, str):
                await activity.mark_active(transaction, family.account_id)
        if isinstance(outcome, PostCommitTask):
            await outcome.finished()
            _log.warning("refresh_token_reused", session_id=str(family.id))
            _refuse("the refresh token was used before: its session has been ended")
        return self._pair(family.account_id, family.role, family.id, outcome)

    async def _exchange(
        self, transaction: Transaction, session_id: UUID, token: str
    ) -> str | PostCommitTask:
        """Return the successor of the locked session's token, or the task that ends the session."""
        use = await repository.token_use(transaction, hashed(token), LEEWAY)
        if use.used and not use.within_leeway:
            return await self._end(transaction, session_id)
        salt = use.successor_salt
        if salt is None:
            salt = secrets.token_bytes(_SECRET_BYTES)
            await repository.mark_used(transaction, hashed(token), salt)
            await repository.insert_token(
                transaction, hashed(derive_successor(token, salt)), session_id
            )
        elif await repository.is_used(transaction, hashed(derive_successor(token, salt))):
            return await self._end(transaction, session_id)
        await repository.touch(transaction, session_id)
        return derive_successor(token, salt)

    async def revoke(self, token: str) -> None:
        """End the session of a refresh or access token; an unknown token changes nothing.

        RFC 7009 section 2.2: the client cannot handle an invalid token in any other way.
        """
        session_id = await self._find_session(token)
        if session_id is None:
            return
        async with self.database.transaction() as transaction:
            ended = await self._end(transaction, session_id)
        await ended.finished()

    @retry_once
    async def live(self, account_id: UUID, current: UUID) -> SessionList:
        """Return the account's live sessions, the latest used first."""
        async with self.database.read() as reader:
            found = await repository.live(reader, account_id, _SHOWN)
        items = [
            Session.model_construct(
                id=session.id,
                created_at=session.created_at,
                last_used_at=session.last_used_at,
                expires_at=session.expires_at,
                user_agent=session.user_agent,
                address=session.address,
                current=session.id == current,
            )
            for session in found
        ]
        return SessionList.model_construct(items=items)

    @retry_once
    async def end(self, account_id: UUID, session_id: UUID) -> None:
        """End one session of the account at once. Raises NotFound without such a session."""
        async with self.database.transaction() as transaction:
            if not await repository.revoke_own(transaction, account_id, session_id):
                raise NotFound("The session does not exist.")
            ended = self.post_commit_tasks.after(
                transaction, partial(self.revocations.revoke, session_id)
            )
        await ended.finished()

    async def _end(self, transaction: Transaction, session_id: UUID) -> PostCommitTask:
        await repository.revoke(transaction, session_id)
        return self.post_commit_tasks.after(
            transaction, partial(self.revocations.revoke, session_id)
        )

    async def _find_session(self, token: str) -> UUID | None:
        if token.count(".") == 2:  # noqa: PLR2004  (the form of a JWT, RFC 7515 section 3.1)
            try:
                return (await self.verifier.verify(token)).session_id
            except Unauthenticated:
                return None
        async with self.database.read() as reader:
            return await repository.session_of(reader, hashed(token))

    async def _rehash(self, found: Credentials, password: str) -> None:
        try:
            new_hash = await self.hasher.hash(password)
        except Overloaded:
            return  # the next login tries again
        async with self.database.transaction() as transaction:
            await credentials.replace_hash(
                transaction, found.account_id, found.password_hash, new_hash
            )

    def _pair(self, account_id: UUID, role: Role, session_id: UUID, refresh: str) -> TokenPair:
        scope = scope_of(role, self.scopes)
        return TokenPair(
            access_token=self.issuer.issue(account_id, role, scope, session_id),
            expires_in=self.issuer.ttl,
            refresh_token=refresh,
            scope=scope,
        )


def _refuse(reason: str) -> NoReturn:
    raise OAuthError("invalid_grant", reason)


def _sanitize(value: str | None) -> str | None:
    """Return the text shortened, without characters that PostgreSQL or a log cannot hold."""
    return None if value is None else remove_forbidden_characters(value)[:_MAX_NOTE]
