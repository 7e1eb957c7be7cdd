"""The rule that no route and no dependency of a service runs in the thread pool.

FastAPI runs a plain function in a thread, which costs more CPU time than most requests, and the
pool's forty threads bound concurrency where no setting shows it. Blocking work belongs into
`asyncio.to_thread`, where it is needed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route


def require_async(routes: Iterable[BaseRoute]) -> None:
    """Raise RuntimeError naming each plain function among the routes and their dependencies."""
    if threaded := [name for route in routes for name in _find_threaded(route)]:
        raise RuntimeError(f"not async, so run in a thread: {'; '.join(sorted(set(threaded)))}")


def _find_threaded(route: BaseRoute) -> Iterator[str]:
    if isinstance(route, APIRoute):
        calls = _list_calls(route.dependant)
    elif isinstance(route, Route):
        calls = iter([route.endpoint])
    else:
        return
    for call in map(_unwrap, calls):
        if not _is_async(call):
            yield f"{call.__module__}.{getattr(call, '__qualname__', type(call).__qualname__)}"


def _list_calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    if dependant.call is not None:
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _list_calls(inner)


def _unwrap(call: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(call, partial):
        call = call.func
    unwrapped: Callable[..., Any] = inspect.unwrap(call)
    return unwrapped


def _is_async(call: Callable[..., Any]) -> bool:
    """Return whether `call` is a coroutine function, an async generator or has such a __call__."""
    if not (inspect.isroutine(call) or inspect.isclass(call)):
        call = type(call).__call__
    return inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)
