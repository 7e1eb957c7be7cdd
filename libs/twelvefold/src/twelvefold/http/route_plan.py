"""Plans of routes: what FastAPI resolves at each request, resolved once.

FastAPI walks a route's tree of dependencies at every request and enters three exit stacks for it,
which costs more CPU time than a cached read. A plan runs the same dependencies in the same order,
validates with the same fields and raises the same errors. Only plain routes get one: those that
return a `Response`, on async functions, with simple parameters and at most a JSON body. FastAPI
serves all others, and still describes every route in the OpenAPI document.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

from fastapi import params
from fastapi._compat import get_missing_field_error
from fastapi._compat.shared import field_annotation_is_sequence
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_body_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Json
from pydantic_core import PydanticUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_REQUIRED: Any = object()
_CONSTANTS = (type(None), bool, int, float, str, bytes, Enum)  # need no copy for each request
_JSON = b"application/json"


class _Parameter(NamedTuple):
    """A parameter of the path, the query or the header: its name in Python and in the request."""

    name: str
    place: str
    alias: str
    key: bytes  # of a header
    validate: Callable[..., tuple[Any, list[Any]]]
    default: Any


@dataclass(frozen=True, slots=True)
class _Call:
    """One dependency, or at the end the endpoint."""

    function: Callable[..., Any]
    parameters: tuple[_Parameter, ...]
    requests: tuple[str, ...]  # names by which it takes the request
    results: tuple[tuple[str, int], ...]  # names by which it takes results of earlier calls
    below: frozenset[int]  # calls whose errors prevent this one


class _NotPlain(Exception):
    pass


class RoutePlan:
    """The plan of one route, an ASGI app. `create_plan` makes it."""

    def __init__(self, route: APIRoute, calls: Sequence[_Call]) -> None:
        self._route = route
        self._dependencies, self._endpoint = tuple(calls[:-1]), calls[-1]
        self._body_fields = route.dependant.body_params
        self._embed_body = route._embed_body_fields  # noqa: SLF001  (FastAPI has no other name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        # Read before the dependencies and validated after them, as FastAPI does.
        body = await _read_json(request) if self._body_fields else None
        results: list[Any] = []
        failed: set[int] = set()
        errors: list[Any] = []
        for index, call in enumerate(self._dependencies):
            arguments, faults = _collect(call, request, results)
            if faults:
                errors += faults
                failed.add(index)
            elif failed and not failed.isdisjoint(call.below):
                failed.add(index)
            else:
                results.append(await call.function(**arguments))
                continue
            results.append(None)
        arguments, faults = _collect(self._endpoint, request, results)
        errors += faults
        if self._body_fields:
            values, faults = await request_body_to_args(self._body_fields, body, self._embed_body)
            arguments |= values
            errors += faults
        if errors:
            raise RequestValidationError(errors, body=body)
        response = await self._endpoint.function(**arguments)
        await response(scope, receive, send)

    def fits(self, scope: Scope) -> bool:
        """Return whether the plan serves this request; FastAPI serves bodies of other types."""
        if not self._body_fields:
            return True
        types = [value for name, value in scope["headers"] if name == b"content-type"]
        return len(types) == 1 and types[0].partition(b";")[0].strip().lower() == _JSON


def create_plan(route: object) -> RoutePlan | None:
    """Return the plan of `route`, or None where FastAPI has to serve it."""
    # A subclass may serve its routes in a way of its own.
    if type(route) is not APIRoute or not _returns_response(route):
        return None
    try:
        calls = list(_list_calls(route.dependant))
    except _NotPlain:
        return None
    return RoutePlan(route, calls)


def _returns_response(route: APIRoute) -> bool:
    # Resolved, since most modules postpone the evaluation of their annotations.
    returned = inspect.signature(route.endpoint, eval_str=True).return_annotation
    return (
        inspect.iscoroutinefunction(route.endpoint)
        and inspect.isclass(returned)
        and issubclass(returned, Response)
    )


def _list_calls(dependant: Dependant) -> Iterator[_Call]:
    """Yield the dependencies before what takes their results, each once, and the endpoint last."""
    known: dict[Any, int] = {}
    below: list[frozenset[int]] = []

    def visit(node: Dependant) -> Iterator[_Call]:
        results, inner = [], set[int]()
        for child in node.dependencies:
            key = (child.call, child.use_cache or object())
            if key not in known:
                yield from visit(child)
                known[key] = len(below) - 1
            index = known[key]
            inner |= {index} | below[index]
            if child.name is not None:
                results.append((child.name, index))
        below.append(frozenset(inner))
        yield _plan_call(node, results, below[-1], is_endpoint=node is dependant)

    yield from visit(dependant)


def _plan_call(
    node: Dependant,
    results: Sequence[tuple[str, int]],
    below: frozenset[int],
    *,
    is_endpoint: bool,
) -> _Call:
    if (
        node.call is None
        or node.concurrency is not None
        or node.cookie_params
        or node.websocket_param_name
        or node.response_param_name
        or node.background_tasks_param_name
        or node.security_scopes_param_name
        or not _is_coroutine_function(node.call)
        or (node.body_params and not is_endpoint)
        or any(isinstance(field.field_info, params.Form) for field in node.body_params)
    ):
        raise _NotPlain
    fields = [*node.path_params, *node.query_params, *node.header_params]
    requests = (node.request_param_name, node.http_connection_param_name)
    return _Call(
        node.call,
        tuple(map(_plan_parameter, fields)),
        tuple(name for name in requests if name),
        tuple(results),
        below,
    )


def _is_coroutine_function(call: Callable[..., Any]) -> bool:
    if isinstance(call, partial):
        call = call.func
    function = call if inspect.isroutine(call) or inspect.isclass(call) else type(call).__call__
    return inspect.iscoroutinefunction(function)


def _plan_parameter(field: Any) -> _Parameter:
    info = field.field_info
    annotation = info.annotation
    if (
        field_annotation_is_sequence(annotation)
        or (inspect.isclass(annotation) and issubclass(annotation, BaseModel))
        or any(type(item) is Json for item in info.metadata)
        or info.validation_alias not in (None, field.alias)
        or info.validate_default
        or info.default_factory is not None
    ):
        raise _NotPlain
    default = _REQUIRED if info.is_required() else field.default
    if default is not _REQUIRED and not isinstance(default, _CONSTANTS):
        raise _NotPlain
    place = info.in_.value
    key = field.alias.lower().encode("latin-1") if place == "header" else b""
    return _Parameter(field.name, place, field.alias, key, field.validate, default)


def _collect(
    call: _Call, request: Request, results: Sequence[Any]
) -> tuple[dict[str, Any], list[Any]]:
    """Return the arguments of the call, and the faults of its own parameters."""
    arguments = {name: results[index] for name, index in call.results}
    faults: list[Any] = []
    for parameter in call.parameters:
        value = _find(parameter, request.scope, request)
        if value is not None:
            loc = (parameter.place, parameter.alias)
            value, found = parameter.validate(value, {}, loc=loc)
            faults += found
        elif parameter.default is _REQUIRED:
            faults.append(get_missing_field_error((parameter.place, parameter.alias)))
        else:
            value = parameter.default
        arguments[parameter.name] = value
    for name in call.requests:
        arguments[name] = request
    return arguments, faults


def _find(parameter: _Parameter, scope: Scope, request: Request) -> str | None:
    if parameter.place == "header":
        key = parameter.key
        for name, value in scope["headers"]:
            if name == key:
                text: str = value.decode("latin-1")
                return text
        return None
    if parameter.place == "path":
        found: str | None = scope["path_params"].get(parameter.alias)
        return found
    return request.query_params.get(parameter.alias) if scope["query_string"] else None


async def _read_json(request: Request) -> Any:
    """Return the parsed body, or PydanticUndefined for an empty one, which the fields refuse."""
    try:
        body = await request.body()
        return json.loads(body) if body else PydanticUndefined
    except HTTPException:  # a bound of the body
        raise
    except json.JSONDecodeError as error:
        fault = {
            "type": "json_invalid",
            "loc": ("body", error.pos),
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": error.msg},
        }
        raise RequestValidationError([fault], body=error.doc) from error
    except Exception as error:
        raise HTTPException(400, "There was an error parsing the body") from error
