"""Every route says who may call it."""

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.applications import Starlette

from api.app import create_app
from api.routes import INTERNAL, PUBLIC
from api.settings import ApiSettings
from twelvefold.contracts.accounts import Role
from twelvefold.http import docs
from twelvefold.http.edge.policies import (
    PublicPolicy,
    TokenPolicy,
    policies,
    require_policies,
)
from twelvefold.http.management import create_management_app
from twelvefold.security.principals import ADMIN_SCOPE

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
    "GET /problems",
    "GET /problems/{code}",
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


def settings() -> ApiSettings:
    return ApiSettings(
        environment="testing",
        database_url="postgresql://x:y@127.0.0.1:9/none",
        redis_url="redis://127.0.0.1:9/0",
        secret_key="a-key-for-cursors-of-the-tests-only",
        users_url="http://127.0.0.1:9",
        internal_secret="the-edge-shows-this-to-users-in-tests",
        internal_secrets_worker=["the-worker-shows-this-on-the-internal-port"],
        s3_endpoint="http://127.0.0.1:9",
        s3_bucket="none",
        s3_access_key_id="none",
        s3_secret_access_key="none-at-all",
    )


@pytest.fixture
def api_app() -> FastAPI:
    app = create_app(settings()).public
    assert app is not None
    return app


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
        if any(isinstance(policy, PublicPolicy) for policy in policies(route.dependant))
    }
    assert found == OPEN


@pytest.mark.parametrize("name", sorted(set(ROUTES) - OPEN))
def test_every_other_route_asks_for_a_scope(name):
    requests = [p for p in policies(ROUTES[name].dependant) if isinstance(p, TokenPolicy)]
    assert len(requests) == 1
    assert requests[0].scopes
    if requests[0].role is Role.ADMIN:
        assert requests[0].scopes == {ADMIN_SCOPE}
        return
    reads = name.startswith("GET ")
    assert {scope.rpartition(":")[2] for scope in requests[0].scopes} == {
        "read" if reads else "write"
    }


@pytest.mark.parametrize("router", INTERNAL)
def test_every_internal_route_checks_its_caller(router):
    for route in router.routes:
        assert isinstance(route, APIRoute)
        checks = [getattr(inner.call, "__qualname__", "") for inner in route.dependant.dependencies]
        assert "require_caller.<locals>.check" in checks


# Beside the routers: counted by address in the process, or never, for the reason that stands here.
UNCOUNTED = {
    "/health": "a balancer asks at any time; answered from pings of at most every 2 s",
    "/ready": "as /health",
}


def test_every_route_of_the_edge_has_a_limit_or_a_reason(api_app):
    own = {id(route) for router in PUBLIC for route in router.routes}
    others = {
        getattr(route, "path", None) for route in api_app.router.routes if id(route) not in own
    }
    assert others == docs.PATHS | UNCOUNTED.keys()


def test_the_internal_and_the_management_port_answer_no_client():
    """Never public (charts, mesh): services and probes call them, and requests are not counted. On
    the internal port each route requires a caller's secret, except its document.
    """
    process = create_app(settings())
    own = {id(route) for router in INTERNAL for route in router.routes}
    assert process.internal is not None
    others = [route for route in process.internal.router.routes if id(route) not in own]
    assert [getattr(route, "path", None) for route in others] == ["/openapi.json"]
    management = create_management_app(name="api", settings=settings(), health=process.health)
    assert isinstance(management, Starlette)
    paths = {getattr(route, "path", None) for route in management.routes}
    assert paths == {"/livez", "/readyz", "/metrics", "/info", "/log-level"}
