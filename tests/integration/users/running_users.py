"""The users process on real servers, and its internal API as api and worker see it."""

import uuid
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import jwt

from twelvefold.security.keys import KeySet
from twelvefold.service.process import ServiceProcess
from users.settings import UsersSettings

PASSWORD = "correct horse battery staple"
API = {"X-Caller": "api", "X-Caller-Secret": "secret-of-api"}
WORKER = {"X-Caller": "worker", "X-Caller-Secret": "secret-of-worker"}
SIGNING_KEYS = KeySet.generate().to_json()


def settings_for(database: Any, redis_url: str, **changes: Any) -> UsersSettings:
    values: dict[str, Any] = {
        "environment": "testing",
        "database_url": database.url("users_app"),
        "redis_url": redis_url,
        "secret_key": "secret-key-of-tests",
        "jwt_signing_keys": SIGNING_KEYS,
        "internal_secrets_api": ["secret-of-api"],
        "internal_secrets_worker": ["older-secret", "secret-of-worker"],
        "web_url": "https://app.test/",
        "emails_per_recipient": 1000,
        "argon2_memory": 1024,  # hashes of full cost are tested where they matter
        "argon2_passes": 1,
    }
    return UsersSettings(**{**values, **changes})


@dataclass
class Account:
    """A registered account, and its tokens."""

    id: str
    email: str
    etag: str
    body: dict[str, Any]
    tokens: dict[str, Any] = field(default_factory=dict)

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    @property
    def session_id(self) -> str:
        token = self.tokens["access_token"]
        claims = jwt.decode(token, options={"verify_signature": False})
        return str(claims["sid"])


class Caller:
    """The internal API as one caller sees it, with the steps that many tests begin with."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.http = client

    async def register(self, email: str | None = None) -> Account:
        email = email or f"ada.{uuid.uuid4().hex}@example.com"
        response = await self.http.post("/users", json=registration(email))
        assert response.status_code == 201, response.text
        return Account(response.json()["id"], email, response.headers["etag"], response.json())

    async def log_in(self, email: str, password: str = PASSWORD, **more: str) -> httpx.Response:
        body = {"grant_type": "password", "username": email, "password": password, **more}
        return await self.http.post("/tokens", json=body)

    async def refresh(self, token: str) -> httpx.Response:
        body = {"grant_type": "refresh_token", "refresh_token": token}
        return await self.http.post("/tokens", json=body)

    async def member(self) -> Account:
        """Registered and logged in."""
        account = await self.register()
        response = await self.log_in(account.email)
        assert response.status_code == 200, response.text
        account.tokens = response.json()
        return account

    async def admin(self, sql: asyncpg.Connection) -> Account:
        """Register, make the account an admin by SQL, and log in."""
        account = await self.register()
        account.body["role"] = "admin"
        await sql.execute(
            "UPDATE users.accounts SET role = 'admin' WHERE id = $1::uuid", account.id
        )
        account.tokens = (await self.log_in(account.email)).json()
        return account


def registration(address: str, **changes: Any) -> dict[str, Any]:
    return {"email": address, "name": "Ada", "password": PASSWORD, **changes}


def client_of(process: ServiceProcess, headers: dict[str, str]) -> httpx.AsyncClient:
    assert process.internal
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=process.internal),
        base_url="http://users.test/internal/v1",
        headers=headers,
    )
