"""Deprecation of an operation: said once at its route, seen in every answer and in the document.

Owns the headers `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and their `Link`, and the least
notice that clients get. Taking the operation away is a declared break of the contract.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from typing import Any, ParamSpec, TypeVar

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from twelvefold.context import current_request

MIN_NOTICE = timedelta(days=180)  # between the announcement and the end, at least
_MARK = "__deprecation__"
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Deprecated:
    """Decorates the endpoint of a deprecated route, below the route's own decorator.

        @router.get("/old", …)
        @Deprecated(since=date(2026, 1, 1), sunset=date(2026, 7, 1), see="/docs")
        async def show_old(…) -> Response: …

    Dates count from midnight in UTC. `sunset` is when the operation stops to answer; none: not
    decided yet. `see` tells what to use instead. Raises ValueError for less than NOTICE.
    """

    since: date
    sunset: date | None = None
    see: str | None = None

    def __post_init__(self) -> None:
        if self.sunset is not None and self.sunset - self.since < MIN_NOTICE:
            raise ValueError(
                f"a sunset comes {MIN_NOTICE.days} days after the deprecation or later"
            )

    def __call__(self, endpoint: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        lines = [(name.lower().encode(), value.encode()) for name, value in self.headers]

        @functools.wraps(endpoint)  # FastAPI reads the signature through it
        async def answering(*args: P.args, **kwargs: P.kwargs) -> R:
            # On the request's context: a refusal of the endpoint carries them as well.
            if context := current_request():
                context.response_headers.extend(lines)
            return await endpoint(*args, **kwargs)

        setattr(answering, _MARK, self)
        return answering

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The header fields of every answer."""
        found = [("Deprecation", f"@{int(_midnight(self.since).timestamp())}")]
        if self.sunset is not None:
            found.append(("Sunset", format_datetime(_midnight(self.sunset), usegmt=True)))
        if self.see is not None:
            found.append(("Link", f'<{self.see}>; rel="deprecation"'))
        return found

    def describe(self, route: APIRoute) -> None:
        """Says so in the OpenAPI document; `x-sunset` as oasdiff and others read it."""
        route.deprecated = True
        if self.sunset is not None:
            extra: dict[str, Any] = {"x-sunset": self.sunset.isoformat()}
            route.openapi_extra = {**(route.openapi_extra or {}), **extra}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def describe_deprecations(routes: Iterable[BaseRoute]) -> None:
    """Has every decorated route be documented as deprecated.

    Raises ValueError for a route that is only documented so: its answers would not tell.
    """
    for route in routes:
        if not isinstance(route, APIRoute):
            continue
        found: Deprecated | None = getattr(route.endpoint, _MARK, None)
        if found is not None:
            found.describe(route)
        elif route.deprecated:
            raise ValueError(f"{route.path}: deprecate it by {Deprecated.__name__}(…)")
