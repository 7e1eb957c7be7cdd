"""Many calls of the clients through a network that loses, cuts and delays them.

`pytest tests/e2e/test_client_faults.py --attack-scale=full` is the whole proof. No call that may be
repeated fails, no effect is doubled, and any other call whose outcome is unknown says so and is
never repeated.
"""

from __future__ import annotations

import io
import uuid
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

import anyio
import pytest
from PIL import Image as Picture
from tests.fault_proxy import Fault, FaultProxy, open_fault_proxy

from twelvefold_client import (
    AsyncTwelvefold,
    OutcomeUnknown,
    RetryPolicy,
    TwelvefoldError,
    models,
)

RATE = 0.05
ACCOUNTS = 8
TASKS_PER_ACCOUNT = 2
PASSWORD = "correct horse battery staple"
POLICY = RetryPolicy(max_tries=10, budget=300.0, max_wait=2.0)
# Seconds, as by default in the whole proof: hashing a password takes some on a busy machine.
PATIENCE = (10, 30)
pytestmark = [pytest.mark.timeout(1500), pytest.mark.slow]
# Of each hundred calls, in the order of their numbers.
MIX = (
    ["update_me"] * 15
    + ["create_job"] * 8
    + ["create_image"] * 5
    + ["delete_image"] * 4
    + ["put_my_avatar"] * 2
    + ["create_user", "log_in"]
    + ["get_me", "list_jobs", "get_image", "list_images"] * 16
)
assert len(MIX) == 100


def picture(color: tuple[int, int, int] = (0, 128, 128)) -> bytes:
    content = io.BytesIO()
    Picture.new("RGB", (8, 8), color).save(content, "PNG")
    return content.getvalue()


@dataclass
class Account:
    """One account: its clients, with and without faults, and what it has done.

    Each method named like an operation is one call, which may fail.
    """

    number: int
    user: models.UserCreate
    direct: AsyncTwelvefold
    shaken: AsyncTwelvefold
    url: str
    patience: float
    image: UUID
    created: list[UUID] = field(default_factory=list)
    jobs: int = 0
    deleted: int = 0

    async def get_me(self, _: int) -> None:
        assert (await self.shaken.get_me()).email == self.user.email

    async def list_jobs(self, _: int) -> None:
        await self.shaken.list_jobs(limit=5)

    async def list_images(self, _: int) -> None:
        await self.shaken.list_images(limit=5)

    async def get_image(self, _: int) -> None:
        assert (await self.shaken.get_image(self.image)).id == self.image

    async def update_me(self, number: int) -> None:
        changes = models.UserUpdate(name=f"Ada {number}")
        assert (await self.shaken.update_me(changes, if_match="*")).name == changes.name

    async def create_job(self, _: int) -> None:
        payload = models.JobCreatePayload.from_dict({"image_id": str(self.image)})
        await self.shaken.create_job(models.JobCreate("image.process", payload))
        self.jobs += 1

    async def create_image(self, number: int) -> None:
        color = (number % 256, number // 256 % 256, 7)
        self.created.append((await self.shaken.create_image(picture(color))).image.id)

    async def delete_image(self, _: int) -> None:
        if self.created:
            await self.shaken.delete_image(self.created.pop())
            self.deleted += 1

    async def put_my_avatar(self, _: int) -> None:
        if self.number == 0:  # its jobs are not counted
            await self.shaken.put_my_avatar(picture())

    async def create_user(self, number: int) -> None:
        await self.shaken.create_user(new_user(f"New {number}"))

    async def log_in(self, _: int) -> None:
        async with AsyncTwelvefold(self.url, timeout=self.patience) as other:
            await other.log_in(self.user.email, PASSWORD)


@dataclass
class Tally:
    done: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)


def new_user(name: str = "Ada") -> models.UserCreate:
    address = f"faults.{uuid.uuid4().hex}@example.com"
    return models.UserCreate(email=address, name=name, password=PASSWORD)


async def open_account(number: int, url: str, proxy: FaultProxy, patience: float) -> Account:
    user = new_user()
    direct = AsyncTwelvefold(url, timeout=30.0)
    await direct.create_user(user)
    tokens = await direct.log_in(user.email, PASSWORD)
    accepted = await direct.create_image(picture())
    shaken = AsyncTwelvefold(proxy.url, tokens=tokens, timeout=patience, retries=POLICY)
    return Account(number, user, direct, shaken, proxy.url, patience, accepted.image.id)


async def work(account: Account, numbers: range, tally: Tally) -> None:
    for number in numbers:
        kind = MIX[number * 37 % 100]
        try:
            await getattr(account, kind)(number)
        except OutcomeUnknown as unknown:
            tally.unknown[unknown.operation] += 1
        except TwelvefoldError as error:
            tally.failed.append(f"{kind}: {error!r}")
        else:
            tally.done[kind] += 1


async def test_no_repeatable_call_fails_and_no_effect_is_doubled(suite, scaled, figure):
    calls, patience = scaled(600, 10_000), scaled(*PATIENCE)
    async with open_fault_proxy(suite.url, rate=RATE, stall=patience + 1) as proxy:
        accounts = [
            await open_account(number, suite.url, proxy, patience) for number in range(ACCOUNTS)
        ]
        tally = Tally()
        workers = ACCOUNTS * TASKS_PER_ACCOUNT
        async with anyio.create_task_group() as tasks:
            for worker in range(workers):
                account = accounts[worker % ACCOUNTS]
                tasks.start_soon(work, account, range(worker, calls, workers), tally)
        figure(
            "calls of the Python client",
            calls=calls,
            requests=proxy.requests,
            planted=proxy.planted.total(),
            done=tally.done.total(),
            unknown=dict(tally.unknown),
            failed=len(tally.failed),
        )
        assert tally.failed == []
        assert set(proxy.planted) == set(Fault)
        # Only calls that are neither idempotent nor carry a key may end without an outcome.
        assert tally.unknown.keys() <= {"update_me", "create_token"}
        repeated = {
            key: count for key, count in proxy.executed.items() if key[0] == "PATCH" and count > 1
        }
        assert repeated == {}
        for account in accounts:
            await require_single_effects(account)
            await account.shaken.aclose()
            await account.direct.aclose()


async def require_single_effects(account: Account) -> None:
    """Each creation that succeeded made one image and one job, and each deletion took one."""
    client = account.direct
    images = [found.id async for found in client.iterate(client.list_images, limit=100)]
    assert sorted(images) == sorted([account.image, *account.created])
    if account.number:
        uploads = 1 + len(account.created) + account.deleted
        jobs = [found async for found in client.iterate(client.list_jobs, limit=100)]
        assert len(jobs) == uploads + account.jobs
