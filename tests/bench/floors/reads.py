"""A read of one account from PostgreSQL with users' duties, by asyncpg, SQLAlchemy's Core or ORM.

`python reads.py asyncpg|core|orm`. The duties: the caller's secret in constant time, the token, the
entry into the cache, ETag, metrics, log line.
"""

from __future__ import annotations

import hmac
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from fastapi import FastAPI, Request, Response
from sqlalchemy import column, select, table
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tests.bench.floors.duties import SECURITY, Link, Tokens, finish, open_link, serve

DATABASE = os.environ["FLOOR_DATABASE"]  # postgresql://
SECRET = b"bench-" * 8
_NAMES = ("id", "email", "name", "role", "version")
_POOL = 10
Read = Callable[[UUID], Awaitable[Any]]


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "accounts"
    __table_args__ = {"schema": "users"}

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    name: Mapped[str]
    role: Mapped[str]
    version: Mapped[int]


@asynccontextmanager
async def by_asyncpg() -> AsyncIterator[Read]:
    sql = f"SELECT {', '.join(_NAMES)} FROM users.accounts WHERE id = $1"
    async with asyncpg.create_pool(DATABASE, min_size=_POOL, max_size=_POOL) as pool:

        async def read(account: UUID) -> Any:
            return await pool.fetchrow(sql, account)

        yield read


@asynccontextmanager
async def by_core() -> AsyncIterator[Read]:
    engine = create_async_engine(_url(), pool_size=_POOL, isolation_level="AUTOCOMMIT")
    accounts = table("accounts", *(column(name) for name in _NAMES), schema="users")

    async def read(account: UUID) -> Any:
        async with engine.connect() as connection:
            found = await connection.execute(select(accounts).where(accounts.c.id == account))
            return found.mappings().one()

    yield read
    await engine.dispose()


@asynccontextmanager
async def by_orm() -> AsyncIterator[Read]:
    engine = create_async_engine(_url(), pool_size=_POOL)

    async def read(account: UUID) -> Any:
        async with AsyncSession(engine) as session:
            found = await session.get_one(Account, account)
            return {name: getattr(found, name) for name in _NAMES}

    yield read
    await engine.dispose()


def _url() -> str:
    return DATABASE.replace("postgresql://", "postgresql+asyncpg://")


def create(opened: Callable[[], Any]) -> FastAPI:
    tokens = Tokens()
    link: Link
    read: Read

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        nonlocal link, read
        link = await open_link()
        async with opened() as read:
            yield

    app = FastAPI(lifespan=lifespan, telemetry={"tracing": False, "metrics": False, "logs": False})

    @app.get("/users/{account}")
    async def one(account: UUID, request: Request) -> Response:
        began = time.perf_counter()
        secret = request.headers.get("x-caller-secret", "").encode()
        if not hmac.compare_digest(secret, SECRET) and "x-caller" in request.headers:
            return Response(status_code=401)
        claims = tokens.verify(request.headers["authorization"])
        row = await read(account)
        body = json.dumps({**row, "id": str(row["id"])}).encode()
        entry = row["version"].to_bytes(8, "big") + body
        await link.call("SET", f"floor:{account}", entry, "PX", 3_600_000)
        response = Response(body, media_type="application/json")
        response.raw_headers += [*SECURITY, (b"etag", f'"v{row["version"]}"'.encode())]
        finish("/users/{id}", 200, began, claims["sub"])
        return response

    return app


if __name__ == "__main__":
    serve(create({"asyncpg": by_asyncpg, "core": by_core, "orm": by_orm}[sys.argv[1]]))
