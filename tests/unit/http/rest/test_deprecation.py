"""A deprecated operation says so in its answers, its refusals and its document."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse, Response
from tests.unit.http.demo import SETTINGS

from twelvefold.errors import NotFound
from twelvefold.http.app import create_service_app
from twelvefold.http.rest.deprecation import Deprecated
from twelvefold.service.health import Health

OLD = Deprecated(since=date(2026, 1, 1), sunset=date(2026, 7, 1), see="/docs#things")


def app_of(router: APIRouter) -> FastAPI:
    health = Health()
    health.mark_ready()
    return create_service_app(
        title="old", settings=SETTINGS, routers=[router], state=None, public=True, health=health
    )


@asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    router = APIRouter()

    @router.get("/things/{number}", operation_id="get_thing")
    @OLD
    async def thing(number: int) -> Response:
        if number == 0:
            raise NotFound
        return JSONResponse({"number": number})

    @router.get("/new", operation_id="get_new")
    async def new() -> Response:
        return JSONResponse({})

    transport = httpx.ASGITransport(app_of(router))
    async with httpx.AsyncClient(transport=transport, base_url="http://old") as found:
        yield found


@pytest.mark.parametrize(("path", "status"), [("/things/1", 200), ("/things/0", 404)])
async def test_a_response_and_an_error_have_both_dates_and_the_link(path, status):
    async with client() as it:
        response = await it.get(path)
    assert response.status_code == status
    assert response.headers["deprecation"] == "@1767225600"
    assert response.headers["sunset"] == "Wed, 01 Jul 2026 00:00:00 GMT"
    assert response.headers["link"] == '</docs#things>; rel="deprecation"'


async def test_other_operations_have_no_deprecation_headers():
    async with client() as it:
        assert "deprecation" not in (await it.get("/new")).headers


async def test_the_document_marks_the_operation_and_its_headers():
    async with client() as it:
        paths = (await it.get("/openapi.json")).json()["paths"]
    old = paths["/things/{number}"]["get"]
    assert (old["deprecated"], old["x-sunset"]) == (True, "2026-07-01")
    assert {"Deprecation", "Sunset"} <= old["responses"]["200"]["headers"].keys()
    assert "deprecated" not in paths["/new"]["get"]


def test_a_shorter_notice_than_the_minimum_is_refused():
    with pytest.raises(ValueError, match="180 days"):
        Deprecated(since=date(2026, 1, 1), sunset=date(2026, 6, 29))


def test_a_route_deprecated_in_the_document_only_is_refused():
    router = APIRouter()

    @router.get("/quiet", deprecated=True)
    async def quiet() -> Response:
        return JSONResponse({})

    with pytest.raises(ValueError, match="/quiet"):
        app_of(router)
