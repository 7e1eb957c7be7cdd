"""Parameters of the query that stand for one value are given once.

A repeated one is refused instead of guessed at: which of `role=user&role=admin` counts differs
between proxies and frameworks, and attacks live on that (HTTP parameter pollution, CWE-235).
"""

from __future__ import annotations

from collections import Counter
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin
from urllib.parse import parse_qsl

from fastapi.dependencies.utils import get_flat_params
from fastapi.params import ParamTypes
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from twelvefold.errors import FieldError, UnprocessableContent

_MANY = (list, set, frozenset, tuple)


def single_parameters(route: BaseRoute) -> frozenset[str]:
    """Names of the route's query parameters that take one value."""
    if not isinstance(route, APIRoute):
        return frozenset()
    return frozenset(
        field.alias
        for field in get_flat_params(route.dependant)
        if getattr(field.field_info, "in_", None) is ParamTypes.query
        and not _takes_many(field.field_info.annotation)
    )


def _takes_many(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin in (Annotated, Union, UnionType):
        return any(_takes_many(argument) for argument in get_args(annotation))
    return annotation in _MANY or origin in _MANY


def reject_repeated(singles: frozenset[str], query: bytes) -> None:
    """Raises Invalid where one of `singles` is given more than once."""
    given = Counter(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    repeated = [name for name, count in given.items() if count > 1 and name in singles]
    if repeated:
        raise UnprocessableContent(
            "A parameter of the query is given more than once.",
            errors=[FieldError(f"/query/{name}", "is given more than once") for name in repeated],
        )
