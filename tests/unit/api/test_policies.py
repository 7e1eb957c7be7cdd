"""Every route says who may call it."""

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from api.auth import Anyone, SignedIn, policies, require_policies
from api.routes import INTERNAL, PUBLIC
from twelvefold.contracts.accounts import Role
from twelvefold.security.principal import ADMIN_SCOPE

# Design section 4: the rows marked "anyone". Whatever is not here needs a token.
OPEN = {
    "POST /api/v1/users",
    "POST /api/v1/auth/token",
    "POST /api/v1/auth/revoke",
    "POST /api/v1/auth/email-verifications",
    "POST /api/v1/auth/email-verifications/confirm",
    "POST /api/v1/auth/password-resets",
    "POST /api/v1/auth/password-resets/confirm",
    "POST /api/v1/auth/email-changes/undo",
    *(
        f"{method} /{page}"
        for method in ("GET", "POST")
        for page in ("verify-email", "reset-password", "undo-email-change")
    ),
    "GET /.well-known/jwks.json",
    "GET /.well-known/oauth-authorization-server",
}
ROUTES = {
    f"{method} {route.path}": route
    for router in PUBLIC
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods or ()
}


def test_every_route_declares_a_policy():
    require_policies(PUBLIC)


def test_a_route_without_a_policy_is_refused_at_start():
    router = APIRouter()

    @router.get("/forgotten")
    async def forgotten() -> None: ...

    with pytest.raises(RuntimeError, match="/forgotten"):
        require_policies([router])


def test_exactly_the_rows_marked_anyone_are_open():
    found = {
        name
        for name, route in ROUTES.items()
        if any(isinstance(policy, Anyone) for policy in policies(route.dependant))
    }
    assert found == OPEN


@pytest.mark.parametrize("name", sorted(set(ROUTES) - OPEN))
def test_every_other_route_asks_for_a_scope(name):
    asked = [p for p in policies(ROUTES[name].dependant) if isinstance(p, SignedIn)]
    assert len(asked) == 1
    assert asked[0].scopes
    if asked[0].role is Role.ADMIN:
        assert asked[0].scopes == {ADMIN_SCOPE}
        return
    reads = name.startswith("GET ")
    assert {scope.rpartition(":")[2] for scope in asked[0].scopes} == {"read" if reads else "write"}


@pytest.mark.parametrize("router", INTERNAL)
def test_every_internal_route_checks_its_caller(router):
    for route in router.routes:
        assert isinstance(route, APIRoute)
        checks = [getattr(inner.call, "__qualname__", "") for inner in route.dependant.dependencies]
        assert "require_caller.<locals>.check" in checks
