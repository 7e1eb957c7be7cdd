"""What a client sees while a backing service is gone, and that it recovers by itself."""

import asyncio
import contextlib
import os
import signal
import uuid
from collections.abc import Awaitable, Callable

import httpx
import pytest
from tests.e2e.test_user_story import PASSWORD, picture_with_location
from tests.running_suite import Suite

NOTICED_WITHIN = 5  # seconds
BACK_WITHIN = 45  # seconds, the supervisor's growing pauses included
PROBLEM = "application/problem+json"


@contextlib.asynccontextmanager
async def kept_down(suite: Suite, name: str):
    """Kills the server, and again as soon as the supervisor has started it anew."""
    assert suite.checkout is not None
    run = suite.checkout / ".twelvefold/run"

    async def kill_again() -> None:
        while True:
            for noted in run.glob(f"{name}-*.pid"):
                with contextlib.suppress(OSError, ValueError):
                    os.kill(int(noted.read_text().split()[0]), signal.SIGKILL)
            await asyncio.sleep(0.1)

    killing = asyncio.create_task(kill_again())
    try:
        yield
    finally:
        killing.cancel()
        await asyncio.wait([killing])


async def _readiness(suite: Suite, service: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=5) as http:
        return await http.get(f"{suite.management[service]}/readyz")


async def _until(suite: Suite, service: str, backing: str, state: str, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while (await _readiness(suite, service)).json()["checks"].get(backing) != state:
            await asyncio.sleep(0.1)


@pytest.fixture
async def signed_in(client, suite):
    if suite.checkout is None:
        pytest.skip("the servers behind a suite by URL cannot be killed")
    address = f"outage.{uuid.uuid4().hex[:12]}@example.com"
    made = await client.post(
        "/api/v1/users", json={"email": address, "name": "O", "password": PASSWORD}
    )
    assert made.status_code == 201
    form = {"grant_type": "password", "username": address, "password": PASSWORD}
    token = await client.post("/api/v1/auth/token", data=form)
    client.headers["authorization"] = f"Bearer {token.json()['access_token']}"
    return client


def _is_an_outage(response: httpx.Response) -> bool:
    assert response.status_code == 503, response.text
    assert response.headers["content-type"] == PROBLEM
    assert int(response.headers["retry-after"]) >= 1
    assert "Traceback" not in response.text
    return True


async def _until_it_answers(
    request: Callable[[], Awaitable[httpx.Response]], status: int
) -> httpx.Response:
    async with asyncio.timeout(BACK_WITHIN):
        while (response := await request()).status_code != status:
            assert _is_an_outage(response)
            await asyncio.sleep(0.2)
    return response


async def test_without_redis_everything_answers_and_nothing_is_lost(signed_in, suite, caught_mail):
    address = f"meanwhile.{uuid.uuid4().hex[:12]}@example.com"
    async with kept_down(suite, "redis"):
        await _until(suite, "api", "redis", "unavailable", NOTICED_WITHIN)
        ready = await _readiness(suite, "api")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert (await signed_in.get("/api/v1/users/me")).status_code == 200
        new = {"email": address, "name": "M", "password": PASSWORD}
        assert (await signed_in.post("/api/v1/users", json=new)).status_code == 201
        # The job is a row: it is done while wake-ups fail.
        await caught_mail.wait_for(lambda mail: mail["To"] == address, timeout=30)
    await _until(suite, "api", "redis", "ok", BACK_WITHIN)


async def test_without_postgresql_what_needs_a_row_is_a_503_and_comes_back(signed_in, suite):
    async with kept_down(suite, "postgres"):
        await _until(suite, "api", "postgres", "unavailable", NOTICED_WITHIN)
        assert (await _readiness(suite, "api")).status_code == 200
        assert _is_an_outage(await signed_in.get("/api/v1/jobs"))
        new = {"email": f"{uuid.uuid4().hex}@example.com", "name": "N", "password": PASSWORD}
        assert _is_an_outage(await signed_in.post("/api/v1/users", json=new))
        assert (await signed_in.get("/health")).json() == {"status": "degraded"}
    await _until_it_answers(lambda: signed_in.get("/api/v1/jobs"), 200)
    await _until_it_answers(lambda: signed_in.post("/api/v1/users", json=new), 201)
    await _until(suite, "api", "postgres", "ok", BACK_WITHIN)


async def test_without_s3_only_image_bytes_are_a_503(signed_in, suite):
    upload = {"content": picture_with_location(), "headers": {"content-type": "image/jpeg"}}
    async with kept_down(suite, "s3"):
        await _until(suite, "api", "s3", "unavailable", NOTICED_WITHIN)
        assert _is_an_outage(await signed_in.post("/api/v1/images", **upload))
        assert (await signed_in.get("/api/v1/images")).status_code == 200
        assert (await signed_in.get("/api/v1/users/me")).status_code == 200
    await _until_it_answers(lambda: signed_in.post("/api/v1/images", **upload), 202)
    await _until(suite, "api", "s3", "ok", BACK_WITHIN)
