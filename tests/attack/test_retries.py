"""Clients that send everything again and again: one effect for each Idempotency-Key."""

import asyncio
import io
import uuid
from functools import partial

import pytest
from PIL import Image
from tests.attack.conftest import assert_problem

pytestmark = pytest.mark.timeout(1800)
RETRIES = 10  # of each key, at once


@pytest.fixture
async def image(attacker) -> str:
    """The id of an image that is ready."""
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(content, "PNG")
    response = await attacker.http.post(
        "/api/v1/images", content=content.getvalue(), headers=attacker.bearer
    )
    assert response.status_code == 202, response.text
    found = str(response.json()["image"]["id"])
    async with asyncio.timeout(60):
        while True:
            shown = await attacker.http.get(f"/api/v1/images/{found}", headers=attacker.bearer)
            if shown.json()["status"] == "ready":
                return found
            await asyncio.sleep(0.1)


@pytest.fixture
async def effects(attacker, postgres):
    """Counts the attacker's jobs; what still waits is not worked off when all was counted."""

    async def count() -> int:
        owned = "SELECT count(*) FROM jobs.jobs WHERE owner_id = $1::uuid"
        return int(await postgres.fetchval(owned, attacker.id))

    yield count
    await postgres.execute(
        "DELETE FROM jobs.jobs WHERE owner_id = $1::uuid AND status = 'queued'", attacker.id
    )


async def test_each_key_has_one_effect_however_often_it_is_sent(
    attacker, image, effects, scaled, figure, at_once
):
    keys = [uuid.uuid4().hex for _ in range(scaled(15, 1000))]
    body = {"type": "image.process", "payload": {"image_id": image}}
    before = await effects()
    statuses: list[int] = []

    async def send(key: str) -> str | None:
        headers = {**attacker.bearer, "Idempotency-Key": key}
        response = await attacker.http.post("/api/v1/jobs", json=body, headers=headers)
        statuses.append(response.status_code)
        if response.status_code == 202:
            return str(response.json()["id"])
        assert_problem(response, 409)
        return None

    async def retried(key: str) -> set[str]:
        found = await asyncio.gather(*(send(key) for _ in range(RETRIES)))
        found.append(await send(key))  # nothing is in flight any more
        assert found[-1]
        # An account may have 200 jobs waiting: cancel this one, or find that it has run already.
        cancel = f"/api/v1/jobs/{found[-1]}/cancel"
        cancelled = await attacker.http.post(cancel, headers=attacker.bearer)
        assert cancelled.status_code in (202, 409), cancelled.text
        return {one for one in found if one}

    jobs = await at_once((partial(retried, key) for key in keys), 2)
    made = await effects() - before
    figure(
        "retries at once by Idempotency-Key",
        keys=len(keys),
        sent=len(statuses),
        effects=made,
        in_flight_409=statuses.count(409),
    )
    assert made == len(keys)
    assert all(len(found) == 1 for found in jobs)
    assert len(set().union(*jobs)) == len(keys)

    other = {"type": "image.process", "payload": {"image_id": str(uuid.uuid4())}}
    for key in keys[:20]:
        headers = {**attacker.bearer, "Idempotency-Key": key}
        response = await attacker.http.post("/api/v1/jobs", json=other, headers=headers)
        assert_problem(response, 422)
    assert await effects() - before == len(keys)
