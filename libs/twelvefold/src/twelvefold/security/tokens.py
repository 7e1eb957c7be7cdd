"""Access tokens: JWTs by RFC 9068 (`at+jwt`), signed with ES256 only (RFC 8725).

Owns the claims of a token and its verification. Keys are in `keys` and `jwks`; the service that
issues a token decides who gets one. A signature or its check takes about 0.1 ms, so both run on the
event loop.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import jwt

from twelvefold.contracts.accounts import Role
from twelvefold.errors import Unauthenticated

from .jwks import JwksCache, JwksSource
from .keys import ALGORITHM, KeySet
from .principals import Principal

__all__ = ["ALGORITHM", "LEEWAY", "TOKEN_TTL", "KeySet", "TokenIssuer", "TokenVerifier"]

TOKEN_TTL = 600  # seconds
LEEWAY = 5  # seconds by which the clocks of two machines may differ
# RFC 9068 section 2.2 requires the claim. There is one client, so no code reads it.
CLIENT_ID = "twelvefold"
TOKEN_TYPE = "at+jwt"  # noqa: S105  (RFC 9068 section 2.1, no secret)
MAX_TOKEN_LENGTH = 4096  # characters; an issued token has about 700
MAX_REMEMBERED = 4096  # verified tokens
_TYPES = (TOKEN_TYPE, "application/at+jwt")
_REQUIRED_CLAIMS = ["iss", "aud", "sub", "iat", "nbf", "exp", "jti", "sid", "role", "scope"]


class TokenIssuer:
    """An issuer that signs access tokens with the first key of `keys`; `ttl` is in seconds."""

    def __init__(self, keys: KeySet, issuer: str, audience: str, *, ttl: int = TOKEN_TTL) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self.ttl = ttl

    def issue(self, sub: UUID, role: Role, scope: str, sid: UUID) -> str:
        """Return a token for account `sub` in the session `sid`."""
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(sub),
            "client_id": CLIENT_ID,
            "iat": now,
            "nbf": now,
            "exp": now + self.ttl,
            "jti": uuid4().hex,
            "sid": str(sid),
            "role": role.value,
            "scope": scope,
        }
        headers = {"typ": TOKEN_TYPE, "kid": self._keys.signing_kid}
        return jwt.encode(claims, self._keys.signing_key, ALGORITHM, headers)


class TokenVerifier:
    """Verifies bearer tokens and returns their principals.

    The key comes from `source` by `kid` only: `jku`, `x5u`, `jwk` and `x5c` of the token's header
    are never read. Tokens of `accepted_issuers`, signed by the same keys, are valid as well: those
    that were issued under a former name of the issuer. A verified token is remembered until it
    expires or a key is withdrawn, since a check costs half as much as serving a cached read.
    """

    def __init__(
        self,
        source: JwksSource,
        *,
        issuer: str,
        audience: str,
        accepted_issuers: Sequence[str] = (),
        leeway: int = LEEWAY,
    ) -> None:
        self._keys = JwksCache(source)
        self._issuers = [issuer, *accepted_issuers]
        self._audience = audience
        self._leeway = leeway
        self._remembered: OrderedDict[str, Principal] = OrderedDict()
        self._generation = self._keys.generation

    async def verify(self, token: str) -> Principal:
        """Return the principal of `token`.

        Raises Unauthenticated (`invalid_token`) where the token is invalid, DependencyUnavailable
        where its key cannot be fetched.
        """
        if self._generation != self._keys.generation:
            self._generation = self._keys.generation
            self._remembered.clear()
        principal = self._remembered.get(token)
        if principal is not None:
            if principal.expires_at + self._leeway > time.time():
                self._remembered.move_to_end(token)
                return principal
            del self._remembered[token]
        principal = await self._verify(token)
        self._remembered[token] = principal
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return principal

    async def aclose(self) -> None:
        """Stop a fetch of keys."""
        await self._keys.aclose()

    async def _verify(self, token: str) -> Principal:
        if len(token) > MAX_TOKEN_LENGTH:
            raise _invalid_token("is too long")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise _invalid_token("is malformed") from error
        if header.get("alg") != ALGORITHM:
            raise _invalid_token("uses an unsupported signature algorithm")
        if str(header.get("typ")).lower() not in _TYPES:
            raise _invalid_token("is not an access token")
        if "crit" in header:
            raise _invalid_token("requires unsupported extensions (crit)")
        kid = header.get("kid")
        key = await self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise _invalid_token("is signed with an unknown key")
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuers,
                audience=self._audience,
                leeway=self._leeway,
                options={"require": _REQUIRED_CLAIMS, "strict_aud": True},
            )
        except jwt.ExpiredSignatureError as error:
            raise _invalid_token("has expired") from error
        except jwt.InvalidTokenError as error:
            raise _invalid_token("is invalid") from error
        return _build_principal(claims, token)


def _build_principal(claims: dict[str, Any], token: str) -> Principal:
    try:
        return Principal(
            id=UUID(claims["sub"]),
            role=Role(claims["role"]),
            scopes=frozenset(claims["scope"].split()),
            session_id=UUID(claims["sid"]),
            token=token,
            expires_at=float(claims["exp"]),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise _invalid_token("lacks required claims") from error


def _invalid_token(reason: str) -> Unauthenticated:
    detail = f"The access token {reason}."
    return Unauthenticated(detail, token_error="invalid_token")  # noqa: S106  (RFC 6750 section 3.1)
