"""No route, dependency or error handler of the suite runs in FastAPI's thread pool."""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from inspect import iscoroutinefunction
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from twelvefold.http.app import create_service_app
from twelvefold.http.async_routes import require_async
from twelvefold.http.management import create_management_app
from twelvefold.http.rest.exception_handlers import EXCEPTION_HANDLERS
from twelvefold.service.health import Health
from twelvefold.service.installed import installed_services
from twelvefold.settings import ServiceSettings
from twelvefold.settings.reference import example


def plain() -> int:
    return 1


def plain_generator() -> Iterator[int]:
    yield 1


class PlainClass:
    pass


class PlainCallable:
    def __call__(self) -> int:
        return 1


async def nested(value: Annotated[int, Depends(plain)]) -> int:
    return value


async def generator() -> AsyncIterator[int]:
    yield 1


class AsyncCallable:
    async def __call__(self) -> int:
        return 1


async def wants(count: int = 1) -> int:
    return count


def router_with(dependency) -> APIRouter:
    router = APIRouter()

    @router.get("/demo")
    async def demo(value: Annotated[int, Depends(dependency)]) -> int:
        return value

    return router


@pytest.mark.parametrize(
    "dependency",
    [plain, plain_generator, PlainClass, PlainCallable(), nested, partial(plain)],
    ids=["function", "generator", "class", "callable", "nested", "partial"],
)
def test_a_plain_dependency_is_refused_when_the_app_is_created(dependency):
    with pytest.raises(RuntimeError, match=r"run in a thread: .*[pP]lain"):
        create_service_app(
            title="demo",
            settings=ServiceSettings(environment="testing"),
            routers=[router_with(dependency)],
            state=None,
            public=False,
            health=Health(),
        )


def test_a_plain_route_is_refused():
    router = APIRouter()

    @router.get("/demo")
    def demo() -> None: ...

    def page(_: Request) -> Response:
        return Response()

    for routes in (router.routes, [Route("/page", page)]):
        with pytest.raises(RuntimeError, match="run in a thread"):
            require_async(routes)


@pytest.mark.parametrize(
    "dependency",
    [wants, generator, AsyncCallable(), partial(wants, 2), HTTPBearer()],
    ids=["function", "generator", "callable", "partial", "library"],
)
def test_an_async_dependency_is_accepted(dependency):
    require_async(router_with(dependency).routes)


@pytest.mark.parametrize("service", installed_services().values(), ids=lambda it: it.name)
def test_nothing_in_the_apps_of_a_service_runs_in_a_thread(service):
    settings = example(service.settings)
    process = service.create(settings)
    for app in filter(None, (process.public, process.internal)):
        assert any(isinstance(route, APIRoute) for route in app.router.routes)
        require_async(app.router.routes)
    management = create_management_app(name=service.name, settings=settings, health=process.health)
    assert isinstance(management, Starlette)
    require_async(management.routes)


def test_error_handlers_do_not_run_in_a_thread():
    assert all(map(iscoroutinefunction, EXCEPTION_HANDLERS.values()))
