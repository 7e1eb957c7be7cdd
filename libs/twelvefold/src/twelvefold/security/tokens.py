"""Access tokens: JWTs by RFC 9068 (`at+jwt`), signed with ES256 and nothing else (RFC 8725).

Owns what is in a token and what is refused. Keys are in `keys` and `jwks`; who may have a token
is decided by the service that issues it. A signature costs about 0.1 ms, so both run on the loop.
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
LEEWAY = 5  # seconds that clocks of two machines may differ
# RFC 9068 section 2.2 requires the claim. There is one client, so nothing here asks for it.
CLIENT_ID = "twelvefold"
TOKEN_TYPE = "at+jwt"  # noqa: S105  (RFC 9068 section 2.1, no secret)
MAX_TOKEN_LENGTH = 4096  # ours have about 700 characters
REMEMBERED = 4096  # verified tokens
_TYPES = (TOKEN_TYPE, "application/at+jwt")
_REQUIRED = ["iss", "aud", "sub", "iat", "nbf", "exp", "jti", "sid", "role", "scope"]


class TokenIssuer:
    """Signs access tokens with the first key of `keys`; `ttl` is in seconds."""

    def __init__(self, keys: KeySet, issuer: str, audience: str, *, ttl: int = TOKEN_TTL) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self.ttl = ttl

    def issue(self, sub: UUID, role: Role, scope: str, sid: UUID) -> str:
        """A token for account `sub` within the session `sid`."""
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
    """Turns a bearer token into a Principal, or refuses it.

    The key comes from `source` by `kid` and from nowhere else: `jku`, `x5u`, `jwk` and `x5c` of
    the token's header are never looked at. Tokens of `accepted_issuers`, signed by the same keys,
    count as well: those that were issued under the issuer's former name. A verified token is remembered until it expires or a
    key is withdrawn, since checking one costs half as much as serving a cached read.
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
        """Raises Unauthenticated (`invalid_token`), or DependencyUnavailable where no key can be had."""
        if self._generation != self._keys.generation:
            self._generation = self._keys.generation
            self._remembered.clear()
        principal = self._remembered.get(token)
        if principal is not None:
            if principal.expires_at + self._leeway > time.time():
                self._remembered.move_to_end(token)
                return principal
            del self._remembered[token]
        principal = await self._verified(token)
        self._remembered[token] = principal
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return principal

    async def aclose(self) -> None:
        await self._keys.aclose()

    async def _verified(self, token: str) -> Principal:
        if len(token) > MAX_TOKEN_LENGTH:
            raise _refused("is too long")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise _refused("is malformed") from error
        if header.get("alg") != ALGORITHM:
            raise _refused("uses an unsupported signature algorithm")
        if str(header.get("typ")).lower() not in _TYPES:
            raise _refused("is not an access token")
        if "crit" in header:
            raise _refused("asks for extensions that are not known here")
        kid = header.get("kid")
        key = await self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise _refused("is signed with an unknown key")
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuers,
                audience=self._audience,
                leeway=self._leeway,
                options={"require": _REQUIRED, "strict_aud": True},
            )
        except jwt.ExpiredSignatureError as error:
            raise _refused("has expired") from error
        except jwt.InvalidTokenError as error:
            raise _refused("is not valid") from error
        return _principal(claims, token)


def _principal(claims: dict[str, Any], token: str) -> Principal:
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
        raise _refused("lacks required claims") from error


def _refused(reason: str) -> Unauthenticated:
    return Unauthenticated(f"the access token {reason}", token_error="invalid_token")  # noqa: S106  (RFC 6750 section 3.1)
