"""An ORM starter: one process with FastAPI, JWT (HS256) and SQLAlchemy's ORM, as tutorials show it.

`python starter.py`. It has no rate limits, no cache, no metrics, no access log and no hop, and what
it inserts triggers nothing. `GET /token` gives a token of its only user.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID, uuid4

import aioboto3
import argon2
import jwt
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel, ConfigDict, EmailStr, Field
from sqlalchemy import ForeignKey, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tests.bench.floors.duties import serve

SECRET = "bench-" * 8
URL = os.environ["FLOOR_DATABASE"].replace("postgresql://", "postgresql+asyncpg://")
ITEMS = 100
hasher = argon2.PasswordHasher(
    int(os.environ["ARGON2_PASSES"]), int(os.environ["ARGON2_MEMORY"]), 1
)
engine = create_async_engine(URL, pool_size=10)
sessions = async_sessionmaker(engine, expire_on_commit=False)
oauth2 = OAuth2PasswordBearer(tokenUrl="token")


def now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "starter_users"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    hashed_password: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(
        default=lambda: datetime.now(UTC).replace(tzinfo=None)
    )


class Item(Base):
    __tablename__ = "starter_items"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id), index=True)
    title: Mapped[str]
    status: Mapped[str] = mapped_column(default="queued")
    progress: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(
        default=lambda: datetime.now(UTC).replace(tzinfo=None)
    )


class UserCreate(BaseModel):
    email: EmailStr
    name: str = Field(max_length=100)
    password: str = Field(min_length=8, max_length=256)


class UserPublic(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: EmailStr
    name: str
    created_at: datetime


class ItemCreate(BaseModel):
    title: str


class ItemPublic(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    owner_id: UUID
    title: str
    status: str
    progress: int
    attempts: int
    created_at: datetime


class ItemsPublic(BaseModel):
    data: list[ItemPublic]
    count: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
        await connection.run_sync(Base.metadata.create_all)
    async with sessions() as session:
        user = User(email="starter@example.com", name="Starter", hashed_password="!")
        session.add(user)
        await session.flush()
        session.add_all(Item(owner_id=user.id, title="one of many") for _ in range(ITEMS))
        await session.commit()
    app.state.token = jwt.encode({"sub": str(user.id), "exp": int(time.time()) + 86_400}, SECRET)
    store = aioboto3.Session().client(
        "s3",
        endpoint_url=os.environ["S3_ENDPOINT"],
        region_name=os.environ["S3_REGION"],
        aws_access_key_id=os.environ["S3_ACCESS_KEY_ID"],
        aws_secret_access_key=os.environ["S3_SECRET_ACCESS_KEY"],
    )
    async with store as app.state.s3:
        yield
    await engine.dispose()


async def get_session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]


async def get_current_user(session: Session, token: Annotated[str, Depends(oauth2)]) -> User:
    try:
        claims = jwt.decode(token, SECRET, ["HS256"])
    except jwt.InvalidTokenError as error:
        raise HTTPException(401, "Could not validate credentials") from error
    user = await session.get(User, UUID(claims["sub"]))
    if user is None:
        raise HTTPException(404, "User not found")
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]
app = FastAPI(lifespan=lifespan)


@app.get("/token")
async def token(request: Request) -> str:
    found: str = request.app.state.token
    return found


@app.get("/users/me", response_model=UserPublic)
async def me(user: CurrentUser) -> User:
    return user


@app.post("/users", response_model=UserPublic, status_code=201)
async def register(new: UserCreate, session: Session) -> User:
    if await session.scalar(select(User).where(User.email == new.email)):
        raise HTTPException(400, "The user with this email already exists in the system")
    password = await run_in_threadpool(hasher.hash, new.password)
    user = User(email=new.email, name=new.name, hashed_password=password)
    session.add(user)
    await session.commit()
    return user


@app.get("/items", response_model=ItemsPublic)
async def items(session: Session, user: CurrentUser, limit: int = 100) -> ItemsPublic:
    statement = (
        select(Item)
        .where(Item.owner_id == user.id)
        .order_by(Item.created_at.desc(), Item.id.desc())
        .limit(limit)
    )
    found = (await session.scalars(statement)).all()
    return ItemsPublic(data=[ItemPublic.model_validate(item) for item in found], count=len(found))


@app.post("/items", response_model=ItemPublic, status_code=201)
async def create_item(new: ItemCreate, session: Session, user: CurrentUser) -> Item:
    item = Item(owner_id=user.id, title=new.title)
    session.add(item)
    await session.commit()
    return item


@app.post("/files", response_model=ItemPublic, status_code=201)
async def upload(request: Request, session: Session, user: CurrentUser) -> Item:
    item = Item(id=uuid4(), owner_id=user.id, title="file")
    await request.app.state.s3.put_object(
        Bucket=os.environ["S3_BUCKET"], Key=f"starter/{item.id}", Body=await request.body()
    )
    session.add(item)
    await session.commit()
    return item


if __name__ == "__main__":
    serve(app)
