"""The hooks of a service that keeps data of accounts, asked together with all others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from tests.asgi_server import open_asgi_server
from tests.fakes.users_client import FakeUsersClient

from twelvefold.errors import DependencyUnavailable
from twelvefold.http.account_data import (
    MAX_EXPORT_BYTES,
    PATH,
    AccountDataClients,
    create_account_data_router,
)
from twelvefold.http.app import create_service_app
from twelvefold.http.internal import InternalClient
from twelvefold.identifiers import new_id
from twelvefold.security.tokens import TokenVerifier
from twelvefold.service.health import Health
from twelvefold.settings import AccountDataSettings, ServiceSettings

SECRETS = {"api": ["the-secret-of-api"], "worker": ["the-secret-of-worker"]}


class Orders(BaseModel):
    orders: list[str]


class Shop:
    """A service that keeps orders by account."""

    def __init__(self, users: FakeUsersClient) -> None:
        self.orders: dict[UUID, list[str]] = {}
        self.failing = False
        self.url = ""
        self.clients: list[InternalClient] = []
        self.verifier = TokenVerifier(users.key_set, issuer="twelvefold", audience="twelvefold-api")

    async def export(self, account_id: UUID) -> Orders:
        if self.failing:
            raise DependencyUnavailable("postgres")
        return Orders(orders=self.orders.get(account_id, []))

    async def erase(self, account_id: UUID) -> None:
        if self.failing:
            raise DependencyUnavailable("postgres")
        self.orders.pop(account_id, None)

    def create_app(self) -> FastAPI:
        health = Health()
        health.mark_ready()
        return create_service_app(
            title="shop",
            settings=ServiceSettings(environment="testing"),
            routers=[
                create_account_data_router(
                    verifier=self.verifier, export=self.export, erase=self.erase
                )
            ],
            state=None,
            public=False,
            health=health,
            callers=SECRETS,
        )

    def client(self, caller: str, name: str = "shop") -> InternalClient:
        client = InternalClient(name, self.url, caller=caller, secret=SECRETS[caller][0])
        self.clients.append(client)
        return client


@pytest.fixture
def users() -> FakeUsersClient:
    return FakeUsersClient()


@pytest.fixture
async def shop(users) -> AsyncIterator[Shop]:
    async with open_shop(users) as shop:
        yield shop


@pytest.fixture
async def other(users) -> AsyncIterator[Shop]:
    async with open_shop(users) as shop:
        yield shop


@asynccontextmanager
async def open_shop(users: FakeUsersClient) -> AsyncIterator[Shop]:
    shop = Shop(users)
    async with open_asgi_server(shop.create_app()) as shop.url:
        yield shop
        for client in shop.clients:
            await client.aclose()
    await shop.verifier.aclose()


async def test_an_export_holds_what_each_service_keeps(shop, users):
    account = new_id()
    shop.orders[account] = ["a book"]
    clients = AccountDataClients([shop.client("api"), shop.client("api", "archive")])
    bodies = await clients.export(account, bearer=users.token_for(account))
    assert bodies == {"shop": b'{"orders":["a book"]}', "archive": b'{"orders":["a book"]}'}


async def test_an_export_fails_whole_where_one_service_fails(shop, other, users):
    account = new_id()
    other.failing = True
    clients = AccountDataClients([shop.client("api"), other.client("api", "archive")])
    with pytest.raises(DependencyUnavailable, match="archive"):
        await clients.export(account, bearer=users.token_for(account))


async def test_an_export_that_is_too_large_fails(shop, users):
    account = new_id()
    shop.orders[account] = ["x" * MAX_EXPORT_BYTES]
    with pytest.raises(DependencyUnavailable):
        await AccountDataClients([shop.client("api")]).export(
            account, bearer=users.token_for(account)
        )


async def test_an_erasure_asks_every_service_and_fails_until_all_have_succeeded(shop, other):
    account = new_id()
    shop.orders[account], other.orders[account] = ["a book"], ["a lamp"]
    other.failing = True
    clients = AccountDataClients([other.client("worker", "archive"), shop.client("worker")])
    with pytest.raises(DependencyUnavailable, match="archive"):
        await clients.erase(account)
    assert shop.orders == {}, "the failure of another service kept its data"
    other.failing = False
    await clients.erase(account)
    assert other.orders == {}


@pytest.mark.parametrize(
    ("method", "caller", "token_of", "status"),
    [
        ("GET", "api", "itself", 200),
        ("GET", "api", "another", 403),
        ("GET", "api", None, 401),
        ("GET", "worker", "itself", 403),
        ("DELETE", "worker", None, 204),
        ("DELETE", "api", "itself", 403),
        ("GET", "nobody", "itself", 401),
    ],
)
async def test_who_may_ask(shop, users, method, caller, token_of, status):
    account = new_id()
    headers = {"X-Caller": caller, "X-Caller-Secret": SECRETS.get(caller, ["none"])[0]}
    if token_of is not None:
        token = users.token_for(account if token_of == "itself" else new_id())
        headers["Authorization"] = f"Bearer {token}"
    transport = httpx.ASGITransport(shop.create_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        response = await client.request(method, f"{PATH}/{account}", headers=headers)
    assert response.status_code == status


def test_the_services_come_from_a_setting():
    settings = AccountDataSettings(
        environment="testing", account_data_urls="billing=http://billing:8001, shop=http://s:1"
    )
    assert settings.account_data_services == {
        "billing": "http://billing:8001",
        "shop": "http://s:1",
    }


@pytest.mark.parametrize("urls", ["billing", "=http://billing:8001", "billing=billing:8001"])
def test_a_malformed_entry_is_refused(urls):
    with pytest.raises(ValueError, match="must be"):
        AccountDataSettings(environment="testing", account_data_urls=urls)
