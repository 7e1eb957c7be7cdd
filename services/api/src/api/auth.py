"""Access policies of routes. Every route declares one; the start fails for a route without.

Owns parsing of the Authorization header and the checks before a route runs: token, revocation, rate
limit, scope, role. Ownership of a row is checked by the use case, which knows the row.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import APIRouter, Depends, Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.openapi.models import OAuth2, OAuthFlowPassword, OAuthFlows
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from starlette.routing import BaseRoute

from twelvefold.context import set_principal
from twelvefold.contracts.accounts import Role
from twelvefold.errors import Forbidden, Unauthenticated
from twelvefold.security.client_key import client_key
from twelvefold.security.principals import ADMIN_SCOPE, Principal
from twelvefold.security.revocation import RevocationList, revocation_key
from twelvefold.security.revocation_feed import RevocationFeed
from twelvefold.security.tokens import TokenVerifier

from .rate_limits import RateLimitName, RateLimits, limit_of, refuse_beyond

TOKEN_PATH = "/api/v1/auth/token"  # noqa: S105  (a path, no secret)
SCOPES = {
    "users:read": "Read your account",
    "users:write": "Change your account and its avatar",
    "images:read": "Read your images",
    "images:write": "Upload and delete images",
    "jobs:read": "Watch your jobs",
    "jobs:write": "Start, cancel and retry jobs",
    ADMIN_SCOPE: "Act on the accounts, images and jobs of all users (admins only)",
}


class Authenticator:
    """Turns the Authorization header into a principal (RFC 6750)."""

    def __init__(
        self,
        verifier: TokenVerifier,
        revocations: RevocationList,
        feed: RevocationFeed,
        limits: RateLimits,
    ) -> None:
        self._verifier = verifier
        self._revocations = revocations
        self._feed = feed
        self._limits = limits

    async def authenticate(self, request: Request, limit: RateLimitName | None = None) -> Principal:
        """Return the principal, and count the request by `limit`, else by the limit of the role.

        A request without a valid token is counted by address. A revocation is read from Redis and,
        while Redis is unavailable, from the feed. Raises Unauthenticated, TooManyRequests,
        DependencyUnavailable without any key, LoopStalled where the event loop stood still.
        """
        try:
            principal = await self._verifier.verify(_bearer(request.headers.get("authorization")))
        except Unauthenticated:
            await self.admit_anonymous(request, RateLimitName.ANONYMOUS)
            raise
        subject_keys = (revocation_key(principal.session_id), revocation_key(principal.id))
        admission = await self._limits.count(
            limit or limit_of(principal), str(principal.id), subject_keys
        )
        if any(admission.marks) or self._feed.is_revoked(principal.session_id, principal.id):
            raise Unauthenticated(
                "The access token was revoked.",
                token_error="invalid_token",  # noqa: S106  (RFC 6750 section 3.1)
            )
        set_principal(str(principal.id))
        refuse_beyond(admission)
        return principal

    async def admit_anonymous(self, request: Request, limit: RateLimitName) -> None:
        """Count the request by its address. Raises TooManyRequests."""
        address = request.client.host if request.client else None
        await self._limits.require(limit, client_key(address))

    async def is_valid(self, principal: Principal) -> bool:
        """Return whether neither the session nor the account is revoked."""
        subjects = (principal.session_id, principal.id)
        return not (
            self._feed.is_revoked(*subjects) or await self._revocations.is_revoked(*subjects)
        )


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("Send a bearer token.")
    return token


class PublicPolicy:
    """The policy of a route without a token: requests are counted by address."""

    def __init__(self, limit: RateLimitName) -> None:
        self.limit = limit

    async def __call__(self, request: Request) -> None:
        authenticator: Authenticator = request.app.state.container.authenticator
        await authenticator.admit_anonymous(request, self.limit)


class TokenPolicy(SecurityBase):
    """Requires a valid token with these scopes and, where `role` says so, an admin.

    `limit` replaces the limit of the role; `address_limit` also counts by the caller's address.
    """

    model = OAuth2(
        flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl=TOKEN_PATH, scopes=SCOPES)),
        description="Access token by the password or refresh_token grant; lives 10 minutes.",
    )
    scheme_name = "oauth2"

    def __init__(
        self,
        *scopes: str,
        role: Role | None = None,
        limit: RateLimitName | None = None,
        address_limit: RateLimitName | None = None,
    ) -> None:
        self.scopes = frozenset(scopes)
        self.role = role
        self.limit = limit
        self.address_limit = address_limit

    async def __call__(self, request: Request) -> Principal:
        authenticator: Authenticator = request.app.state.container.authenticator
        principal = await authenticator.authenticate(request, self.limit)
        if self.address_limit is not None:
            await authenticator.admit_anonymous(request, self.address_limit)
        if not self.scopes <= principal.scopes:
            raise _missing_scope(self.scopes)
        if self.role is Role.ADMIN and not principal.is_admin:
            raise Forbidden("Admin role required.")
        return principal


def _missing_scope(scopes: Iterable[str]) -> Forbidden:
    required = " ".join(sorted(scopes))
    challenge = f'Bearer realm="twelvefold", error="insufficient_scope", scope="{required}"'
    return Forbidden(
        f"The token lacks a scope of: {required}.", headers={"WWW-Authenticate": challenge}
    )


_ADMIN = TokenPolicy(ADMIN_SCOPE, role=Role.ADMIN)


def anyone(limit: RateLimitName = RateLimitName.ANONYMOUS) -> Any:
    """Return the policy without a token, for `dependencies=[…]`."""
    return Depends(PublicPolicy(limit))


def signed_in(
    *scopes: str, limit: RateLimitName | None = None, address_limit: RateLimitName | None = None
) -> Any:
    """Return the policy of a token with these scopes, for `Annotated[Principal, …]`."""
    policy = TokenPolicy(*scopes, limit=limit, address_limit=address_limit)
    return Security(policy, scopes=scopes)


def admin() -> Any:
    """Return the policy of an admin's token, used as `signed_in`."""
    return Security(_ADMIN, scopes=[ADMIN_SCOPE])


def policies(dependant: Dependant) -> Iterator[PublicPolicy | TokenPolicy]:
    """Yield every policy of a route and of its dependencies."""
    if isinstance(dependant.call, (PublicPolicy, TokenPolicy)):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from policies(inner)


def require_policies(routers: Iterable[APIRouter]) -> None:
    """Raise RuntimeError naming each route that declares no policy: access is denied by default."""
    routes = [route for router in routers for route in router.routes]
    if bare := [str(route) for route in routes if not _has_policy(route)]:
        raise RuntimeError(f"no policy declared: {'; '.join(bare)}")


def _has_policy(route: BaseRoute) -> bool:
    return isinstance(route, APIRoute) and any(policies(route.dependant))
