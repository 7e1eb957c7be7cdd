"""Query parameters of one value must not be repeated.

Proxies and frameworks disagree which of `role=user&role=admin` counts, and attacks use that (HTTP
parameter pollution, CWE-235), so a repeated parameter is refused.
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

_COLLECTIONS = (list, set, frozenset, tuple)


def find_single_parameters(route: BaseRoute) -> frozenset[str]:
    """Return the names of the route's query parameters that take one value."""
    if not isinstance(route, APIRoute):
        return frozenset()
    return frozenset(
        field.alias
        for field in get_flat_params(route.dependant)
        if getattr(field.field_info, "in_", None) is ParamTypes.query
        and not _is_collection(field.field_info.annotation)
    )


def _is_collection(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin in (Annotated, Union, UnionType):
        return any(_is_collection(argument) for argument in get_args(annotation))
    return annotation in _COLLECTIONS or origin in _COLLECTIONS


def reject_repeated(singles: frozenset[str], query: bytes) -> None:
    """Raise UnprocessableContent where the query repeats one of `singles`."""
    counts = Counter(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    repeated = [name for name, count in counts.items() if count > 1 and name in singles]
    if repeated:
        raise UnprocessableContent(
            "A query parameter is repeated. Send it once.",
            errors=[FieldError(f"/query/{name}", "is repeated") for name in repeated],
        )
