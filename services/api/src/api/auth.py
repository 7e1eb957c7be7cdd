"""Who may call a route. Every route declares a policy; one without is refused at start.

Owns the reading of the Authorization header and the checks that hold before a route runs: token,
revocation, scope, role. Whose row it is, is decided by the use case, which knows the row.
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
from twelvefold.errors import Forbidden, Unauthenticated
from twelvefold.http.context import set_principal
from twelvefold.security.principal import ADMIN_SCOPE, Principal
from twelvefold.security.revocation import Revocations
from twelvefold.security.tokens import TokenVerifier

TOKEN_PATH = "/api/v1/auth/token"  # noqa: S105  (a path, no secret)
SCOPES = {
    "users:read": "Read your account",
    "users:write": "Change your account and its avatar",
    "images:read": "Read your images",
    "images:write": "Upload and delete images",
    "jobs:read": "Watch your jobs",
    "jobs:write": "Start, cancel and retry jobs",
    ADMIN_SCOPE: "Act on everybody's accounts, images and jobs (admins only)",
}


class Gate:
    """Turns the Authorization header into a principal (RFC 6750)."""

    def __init__(self, verifier: TokenVerifier, revocations: Revocations) -> None:
        self._verifier = verifier
        self._revocations = revocations

    async def admit(self, authorization: str | None) -> Principal:
        """Raises Unauthenticated; DependencyUnavailable where no key can be had at all."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("send a bearer token")
        principal = await self._verifier.verify(token)
        if not await self.is_valid(principal):
            raise Unauthenticated("the access token was revoked", token_error="invalid_token")  # noqa: S106  (RFC 6750 section 3.1)
        set_principal(str(principal.id))
        return principal

    async def is_valid(self, principal: Principal) -> bool:
        """Whether neither the session nor the account was revoked meanwhile."""
        return not await self._revocations.is_revoked(principal.session_id, principal.id)


class Anyone:
    """A declared policy all the same: it was decided that no token is needed."""

    async def __call__(self) -> None:
        return None


class SignedIn(SecurityBase):
    """A valid token with these scopes and, where asked, the role of an admin."""

    model = OAuth2(
        flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl=TOKEN_PATH, scopes=SCOPES)),
        description="Access token by the password or refresh_token grant; lives 10 minutes.",
    )
    scheme_name = "oauth2"

    def __init__(self, *scopes: str, role: Role | None = None) -> None:
        self.scopes = frozenset(scopes)
        self.role = role

    async def __call__(self, request: Request) -> Principal:
        gate: Gate = request.app.state.container.gate
        principal = await gate.admit(request.headers.get("authorization"))
        if not self.scopes <= principal.scopes:
            raise _too_narrow(self.scopes)
        if self.role is Role.ADMIN and not principal.is_admin:
            raise Forbidden("only for admins")
        return principal


def _too_narrow(scopes: Iterable[str]) -> Forbidden:
    asked = " ".join(sorted(scopes))
    challenge = f'Bearer realm="twelvefold", error="insufficient_scope", scope="{asked}"'
    return Forbidden(
        f"the token lacks a scope of: {asked}", headers={"WWW-Authenticate": challenge}
    )


anyone = Depends(Anyone())
_ADMIN = SignedIn(ADMIN_SCOPE, role=Role.ADMIN)


def signed_in(*scopes: str) -> Any:
    """The principal of a token with these scopes; goes into `Annotated[Principal, …]`."""
    return Security(SignedIn(*scopes), scopes=scopes)


def admin() -> Any:
    """The principal of an admin's token, used as `signed_in` is."""
    return Security(_ADMIN, scopes=[ADMIN_SCOPE])


def policies(dependant: Dependant) -> Iterator[Anyone | SignedIn]:
    """Every policy that stands before a route, its own and its dependencies'."""
    if isinstance(dependant.call, (Anyone, SignedIn)):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from policies(inner)


def require_policies(routers: Iterable[APIRouter]) -> None:
    """Raises RuntimeError naming each route that declares no policy: denied by default."""
    routes = [route for router in routers for route in router.routes]
    if bare := [str(route) for route in routes if not _has_policy(route)]:
        raise RuntimeError(f"no policy declared: {'; '.join(bare)}")


def _has_policy(route: BaseRoute) -> bool:
    return isinstance(route, APIRoute) and any(policies(route.dependant))
