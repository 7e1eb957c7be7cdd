"""A second public service stands on the edge kit: routes and documentation are all that it has."""

from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter
from pydantic import BaseModel, Field
from tests.fakes.users_client import FakeUsersClient

from twelvefold.http.edge.documentation import Documentation
from twelvefold.http.edge.edge import Edge, create_edge
from twelvefold.http.edge.policies import anyone, signed_in
from twelvefold.http.edge.rate_limits import RateLimits, quotas_of
from twelvefold.identifiers import new_id
from twelvefold.resilience.local_rate_limiter import LocalRateLimiter
from twelvefold.security.principals import Principal
from twelvefold.service.backing import BackingServices
from twelvefold.service.health import Health
from twelvefold.settings import EdgeSettings, Quota


class OrdersSettings(EdgeSettings):
    rate_limit_orders: Quota = Field(2, description="Orders a minute of one account.")


class Order(BaseModel):
    id: int


router = APIRouter(prefix="/api/v1/orders", tags=["orders"])
Reads = Annotated[Principal, signed_in("orders:read", limit="orders")]


@router.get("", operation_id="list_orders")
async def list_orders(principal: Reads) -> list[Order]:
    return [Order(id=1)]


@router.get("/prices", operation_id="list_prices", dependencies=[anyone()])
async def list_prices() -> list[int]:
    return [3]


DOCUMENTATION = Documentation(
    tags={"orders": "What was bought."},
    scopes={"orders:read": "Read your orders"},
    examples={"Order": {"id": 7}},
)


@pytest.fixture
def users() -> FakeUsersClient:
    return FakeUsersClient()


@pytest.fixture
def edge(users) -> Edge:
    settings = OrdersSettings(
        environment="testing", redis_url="redis://127.0.0.1:9/0", users_url="http://127.0.0.1:9"
    )
    backing = BackingServices(settings, application_name="orders")
    return create_edge(
        settings, backing, Health(backing), users.key_set, name="orders", limits=["orders"]
    )


def open_app(edge: Edge) -> Any:
    return edge.create_app(
        title="Orders",
        description="",
        routers=[router],
        state=None,
        documentation=DOCUMENTATION,
    )


@pytest.fixture
async def client(edge):
    edge.health.mark_ready()
    transport = httpx.ASGITransport(open_app(edge))
    async with httpx.AsyncClient(transport=transport, base_url="http://orders.test") as client:
        yield client
    await edge.verifier.aclose()
    await edge.backing.aclose()


async def test_it_admits_tokens_of_the_suite_by_its_own_scopes_and_limits(client, users):
    token = users.token_for(new_id(), scope="orders:read")
    headers = {"Authorization": f"Bearer {token}"}
    answers = [await client.get("/api/v1/orders", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"orders";q=2;w=60'
    assert answers[2].headers["content-type"] == "application/problem+json"
    other = users.token_for(new_id(), scope="images:read")
    refused = await client.get("/api/v1/orders", headers={"Authorization": f"Bearer {other}"})
    assert refused.status_code == 403
    assert 'scope="orders:read"' in refused.headers["www-authenticate"]


async def test_it_refuses_a_request_without_a_token_and_admits_anyone_where_it_says_so(client):
    refused = await client.get("/api/v1/orders")
    assert refused.status_code == 401
    assert refused.headers["ratelimit-policy"].startswith('"anonymous";')
    assert (await client.get("/api/v1/orders/prices")).json() == [3]


async def test_its_document_names_its_own_scopes_tags_and_examples(client):
    document = (await client.get("/openapi.json")).json()
    flow = document["components"]["securitySchemes"]["oauth2"]["flows"]["password"]
    assert flow["scopes"] == {"orders:read": "Read your orders"}
    assert [tag["name"] for tag in document["tags"]] == ["orders", "health"]
    assert document["components"]["schemas"]["Order"]["examples"] == [{"id": 7}]
    listed = document["paths"]["/api/v1/orders"]["get"]
    assert {"401", "403", "429"} <= listed["responses"].keys()
    assert {"bearer": []} in listed["security"]


def test_a_route_without_a_policy_ends_the_start(edge):
    bare = APIRouter()

    @bare.get("/forgotten")
    async def forgotten() -> None: ...

    with pytest.raises(RuntimeError, match="/forgotten"):
        edge.create_app(
            title="", description="", routers=[bare], state=None, documentation=DOCUMENTATION
        )


def test_a_limit_without_a_setting_ends_the_start():
    settings = OrdersSettings(
        environment="testing", redis_url="redis://127.0.0.1:9/0", users_url="http://127.0.0.1:9"
    )
    with pytest.raises(AttributeError, match="rate_limit_refunds"):
        RateLimits(LocalRateLimiter(), quotas_of(settings, ["refunds"]))
