"""Access policies of routes. Every route declares one; the start fails for a route without.

Owns the checks of scope and role. `authenticator` checks token, revocation and rate limit.
Ownership of a row is checked by the use case, which knows the row.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import APIRouter, Depends, Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.openapi.models import OAuth2, OAuthFlowPassword, OAuthFlows
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from starlette.routing import BaseRoute

from twelvefold.contracts.accounts import Role
from twelvefold.errors import REALM, Forbidden
from twelvefold.security.principals import ADMIN_SCOPE, Principal

from .authenticator import Authenticator
from .rate_limits import RateLimitName

TOKEN_PATH = "/api/v1/auth/token"  # noqa: S105  (a path, no secret)


def _authenticator(request: Request) -> Authenticator:
    authenticator: Authenticator = request.app.state.authenticator
    return authenticator


class PublicPolicy:
    """The policy of a route without a token: requests are counted by address.

    With `in_process` they are counted without Redis, for fixed responses.
    """

    def __init__(self, limit: str, *, in_process: bool = False) -> None:
        self.limit = limit
        self._in_process = in_process

    async def __call__(self, request: Request) -> None:
        authenticator = _authenticator(request)
        if self._in_process:
            await authenticator.admit_in_process(request, self.limit)
        else:
            await authenticator.admit_anonymous(request, self.limit)


class TokenPolicy(SecurityBase):
    """Requires a valid token with these scopes and, where `role` says so, an admin.

    `limit` replaces the limit of the role; `address_limit` also counts by the caller's address.
    """

    model = OAuth2(
        # `documentation` adds the scopes of the service.
        flows=OAuthFlows(
            password=OAuthFlowPassword(tokenUrl=TOKEN_PATH, refreshUrl=TOKEN_PATH, scopes={})
        ),
        description="Access token by the password or refresh_token grant; lives 10 minutes. "
        "Verified by the rules of RFC8725 and RFC9068.",
    )
    scheme_name = "oauth2"

    def __init__(
        self,
        *scopes: str,
        role: Role | None = None,
        limit: str | None = None,
        address_limit: str | None = None,
    ) -> None:
        self.scopes = frozenset(scopes)
        self.role = role
        self.limit = limit
        self.address_limit = address_limit

    async def __call__(self, request: Request) -> Principal:
        authenticator = _authenticator(request)
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
    challenge = f'Bearer realm="{REALM}", error="insufficient_scope", scope="{required}"'
    return Forbidden(
        f"The token lacks a scope of: {required}.", headers={"WWW-Authenticate": challenge}
    )


_ADMIN = TokenPolicy(ADMIN_SCOPE, role=Role.ADMIN)


def anyone(limit: str = RateLimitName.ANONYMOUS, *, in_process: bool = False) -> Any:
    """Return the policy without a token, for `dependencies=[…]`."""
    return Depends(PublicPolicy(limit, in_process=in_process))


def signed_in(*scopes: str, limit: str | None = None, address_limit: str | None = None) -> Any:
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
