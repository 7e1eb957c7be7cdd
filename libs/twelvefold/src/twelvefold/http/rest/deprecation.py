"""Deprecation of an operation: declared at its route, shown in responses and in OpenAPI.

Owns the headers `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and their `Link`, and the minimum
notice for clients. The removal of the operation is a declared break of the contract.
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

MIN_NOTICE = timedelta(days=180)  # between the deprecation and the sunset
_ATTRIBUTE = "__deprecation__"  # of an endpoint
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Deprecated:
    """A decorator for the endpoint of a deprecated route, below the route's own decorator.

        @router.get("/old", …)
        @Deprecated(since=date(2026, 1, 1), sunset=date(2026, 7, 1), see="/docs")
        async def show_old(…) -> Response: …

    Dates mean midnight in UTC. `sunset` is when the operation is removed, None if undecided. `see`
    is a link to its replacement. Raises ValueError for a shorter notice than MIN_NOTICE.
    """

    since: date
    sunset: date | None = None
    see: str | None = None

    def __post_init__(self) -> None:
        if self.sunset is not None and self.sunset - self.since < MIN_NOTICE:
            raise ValueError(
                f"a sunset must be at least {MIN_NOTICE.days} days after the deprecation"
            )

    def __call__(self, endpoint: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        lines = [(name.lower().encode(), value.encode()) for name, value in self.headers]

        @functools.wraps(endpoint)  # FastAPI reads the signature through it
        async def respond(*args: P.args, **kwargs: P.kwargs) -> R:
            # In the request's context, so that an error of the endpoint has them as well.
            if context := current_request():
                context.response_headers.extend(lines)
            return await endpoint(*args, **kwargs)

        setattr(respond, _ATTRIBUTE, self)
        return respond

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The header fields of each response."""
        fields = [("Deprecation", f"@{int(_midnight(self.since).timestamp())}")]
        if self.sunset is not None:
            fields.append(("Sunset", format_datetime(_midnight(self.sunset), usegmt=True)))
        if self.see is not None:
            fields.append(("Link", f'<{self.see}>; rel="deprecation"'))
        return fields

    def describe(self, route: APIRoute) -> None:
        """Add the deprecation to the OpenAPI document, with `x-sunset` for oasdiff and others."""
        route.deprecated = True
        if self.sunset is not None:
            extra: dict[str, Any] = {"x-sunset": self.sunset.isoformat()}
            route.openapi_extra = {**(route.openapi_extra or {}), **extra}


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def describe_deprecations(routes: Iterable[BaseRoute]) -> None:
    """Document each decorated route as deprecated.

    Raises ValueError for a route that is deprecated in the document only: its responses would lack
    the headers.
    """
    for route in routes:
        if not isinstance(route, APIRoute):
            continue
        deprecation: Deprecated | None = getattr(route.endpoint, _ATTRIBUTE, None)
        if deprecation is not None:
            deprecation.describe(route)
        elif route.deprecated:
            raise ValueError(f"{route.path}: deprecate it with {Deprecated.__name__}(…)")
