"""Finds the route of a request without asking every route in turn.

Owns the index over an app's routes, and the 405 that names every allowed method. Matching itself
stays with the routes. FastAPI asks its routes one by one, those of included routers twice, which
at forty routes costs more than everything else that a request goes through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from twelvefold.http.rest.query_params import reject_repeated, single_parameters

_HEAD = "twelvefold.head"  # in the scope of a HEAD that a route sees as GET
_MULTI_SEGMENT = ":path}"  # the one convertor that spans slashes


class RouteIndex:
    """ASGI callable over `routes`, in their order; the first full match wins, as in Starlette.

    Routes are taken as they are when the first request comes. What is no plain route (a mount,
    a nested router) is asked for every path; keep those few. `admit` counts what meets no route of
    its method, and what meets one of `counted`, routes (by path) without a policy of their own.
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
        self._known = -1
        # By number of slashes: the literal beginning of each route's path, and the route.
        self._by_depth: dict[int, list[tuple[str, BaseRoute]]] = {}
        self._anywhere: list[tuple[str, BaseRoute]] = []
        # Routes have no hash; the sequence above keeps them, so that an id stays theirs.
        self._singles: dict[int, frozenset[str]] = {}

    def _build(self) -> None:
        entries = [(_literal(route), _depth(route), route) for route in self._routes]
        depths = {depth for _, depth, _ in entries if depth is not None}
        # Where a route of any depth stands among the others, its order must be kept.
        self._by_depth = {
            wanted: [
                (literal, route) for literal, depth, route in entries if depth in (None, wanted)
            ]
            for wanted in depths
        }
        self._anywhere = [(literal, route) for literal, depth, route in entries if depth is None]
        self._singles = {id(route): single_parameters(route) for route in self._routes}
        self._known = len(self._routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._fallback(scope, receive, send)
            return
        if self._known != len(self._routes):
            self._build()
        path = scope["path"]
        partial: list[BaseRoute] = []
        for literal, route in self._by_depth.get(path.count("/"), self._anywhere):
            if not path.startswith(literal):
                continue
            match, found = route.matches(scope)
            if match is Match.FULL:
                scope.update(found)
                scope["route"] = route
                if b"&" in scope["query_string"]:
                    reject_repeated(self._singles[id(route)], scope["query_string"])
                await self._count(route, scope)
                await route.handle(scope, receive, send)
                return
            if match is Match.PARTIAL:
                partial.append(route)
        if not partial:
            await self._count(None, scope)
            raise HTTPException(404)
        await self._other_method(partial, scope, receive, send)

    async def _other_method(
        self, partial: list[BaseRoute], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """HEAD is GET without a body (RFC 9110 section 9.3.2); anything else is a 405."""
        scope["route"] = partial[0]
        if scope["method"] == "HEAD":
            as_get = {**scope, "method": "GET", _HEAD: True}
            for route in partial:
                match, found = route.matches(as_get)
                if match is Match.FULL:
                    as_get.update(found)
                    await self._count(route, scope)
                    await route.handle(as_get, receive, send)
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
    """Whether a route that sees a GET answers a HEAD, so that no body is wanted."""
    return scope["method"] == "HEAD" or _HEAD in scope


def _literal(route: BaseRoute) -> str:
    return route.path.partition("{")[0] if isinstance(route, Route) else ""


def _depth(route: BaseRoute) -> int | None:
    if not isinstance(route, Route) or _MULTI_SEGMENT in route.path:
        return None
    return route.path.count("/")
