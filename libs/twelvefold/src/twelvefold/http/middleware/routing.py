"""An index that finds the route of a request without matching all routes in turn.

Owns the index of an app's routes and the 405 with all allowed methods; the routes match paths
themselves. FastAPI matches its routes one by one, those of included routers twice, which takes more
time with forty routes than all other middleware.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence

from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from twelvefold.http.rest.query_params import find_single_parameters, reject_repeated
from twelvefold.http.route_plan import RoutePlan, create_plan

_HEAD = "twelvefold.head"  # in the scope of a HEAD that a route sees as GET
_MULTI_SEGMENT = ":path}"  # the only convertor that matches slashes


class RouteIndex:
    """ASGI callable over `routes`, in their order; the first full match wins, as in Starlette.

    The index is built at the first request and when routes are added. Mounts and nested routers are
    matched against each path, so keep them few. `admit` counts requests without a route of their
    method and those to the paths in `counted`, whose routes have no policy of their own.
    """

    def __init__(
        self,
        routes: Sequence[BaseRoute],
        fallback: ASGIApp,
        *,
        admit: Callable[[Scope], Awaitable[None]] | None = None,
        counted: Collection[str] = (),
    ) -> None:
        self._routes = routes
        self._fallback = fallback
        self._admit = admit
        self._counted = frozenset(counted)
        self._indexed = -1  # number of routes
        # By number of slashes: the literal prefix of each route's path, and the route.
        self._by_depth: dict[int, list[tuple[str, BaseRoute]]] = {}
        self._any_depth: list[tuple[str, BaseRoute]] = []
        # By id, since routes have no hash; the sequence above keeps them alive.
        self._singles: dict[int, frozenset[str]] = {}
        self._plans: dict[int, RoutePlan] = {}

    def _build(self) -> None:
        entries = [(_literal(route), _depth(route), route) for route in self._routes]
        depths = {depth for _, depth, _ in entries if depth is not None}
        # A route of any depth keeps its place among the others.
        self._by_depth = {
            slashes: [
                (literal, route) for literal, depth, route in entries if depth in (None, slashes)
            ]
            for slashes in depths
        }
        self._any_depth = [(literal, route) for literal, depth, route in entries if depth is None]
        self._singles = {id(route): find_single_parameters(route) for route in self._routes}
        plans = ((id(route), create_plan(route)) for route in self._routes)
        self._plans = {key: plan for key, plan in plans if plan is not None}
        self._indexed = len(self._routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._fallback(scope, receive, send)
            return
        if self._indexed != len(self._routes):
            self._build()
        path = scope["path"]
        partial: list[BaseRoute] = []
        for literal, route in self._by_depth.get(path.count("/"), self._any_depth):
            if not path.startswith(literal):
                continue
            match, child_scope = route.matches(scope)
            if match is Match.FULL:
                scope.update(child_scope)
                scope["route"] = route
                if b"&" in scope["query_string"]:
                    reject_repeated(self._singles[id(route)], scope["query_string"])
                await self._count(route, scope)
                await self._serve(route, scope, receive, send)
                return
            if match is Match.PARTIAL:
                partial.append(route)
        if not partial:
            await self._count(None, scope)
            raise HTTPException(404)
        await self._serve_other_method(partial, scope, receive, send)

    async def _serve(self, route: BaseRoute, scope: Scope, receive: Receive, send: Send) -> None:
        plan = self._plans.get(id(route))
        if plan is not None and plan.fits(scope):
            await plan(scope, receive, send)
            return
        # For forms, whose files FastAPI closes at the end of the request.
        await AsyncExitStackMiddleware(route.handle)(scope, receive, send)

    async def _serve_other_method(
        self, partial: list[BaseRoute], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve HEAD as GET without a body (RFC 9110 section 9.3.2); raise 405 otherwise."""
        scope["route"] = partial[0]
        if scope["method"] == "HEAD":
            as_get = {**scope, "method": "GET", _HEAD: True}
            for route in partial:
                match, child_scope = route.matches(as_get)
                if match is Match.FULL:
                    as_get.update(child_scope)
                    await self._count(route, scope)
                    await self._serve(route, as_get, receive, send)
                    return
        await self._count(None, scope)
        methods = {method for route in partial for method in getattr(route, "methods", None) or ()}
        raise HTTPException(405, headers={"Allow": ", ".join(sorted(methods))})

    async def _count(self, route: BaseRoute | None, scope: Scope) -> None:
        if self._admit is None:
            return
        if route is None or getattr(route, "path", None) in self._counted:
            await self._admit(scope)


def is_head(scope: Scope) -> bool:
    """Return whether the request is a HEAD, also where a route sees it as a GET."""
    return scope["method"] == "HEAD" or _HEAD in scope


def _literal(route: BaseRoute) -> str:
    return route.path.partition("{")[0] if isinstance(route, Route) else ""


def _depth(route: BaseRoute) -> int | None:
    if not isinstance(route, Route) or _MULTI_SEGMENT in route.path:
        return None
    return route.path.count("/")
