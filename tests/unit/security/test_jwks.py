"""When a verifier fetches the issuer's keys again; a failed fetch keeps the present ones."""

import asyncio
from typing import Any

import pytest

from twelvefold.errors import DependencyUnavailable
from twelvefold.security.jwks import FIRST_RETRY_INTERVAL, MAX_AGE, RETRY_INTERVAL, JwksCache
from twelvefold.security.keys import KeySet

OLD, NEW = KeySet.generate(), KeySet.generate()


class Issuer:
    """A source with given responses, which counts its calls."""

    def __init__(self, *responses: Any) -> None:
        self.responses = list(responses)
        self.calls = 0
        self.failures = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> Any:
        self.calls += 1
        await self.gate.wait()
        response = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        if isinstance(response, Exception):
            self.failures += 1
            raise response
        return response


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def both() -> dict[str, Any]:
    return {"keys": OLD.public_jwks()["keys"] + NEW.public_jwks()["keys"]}


async def test_concurrent_calls_share_one_fetch(clock):
    issuer = Issuer(OLD.public_jwks())
    keys = JwksCache(issuer, clock=clock)
    found = await asyncio.gather(*(keys.get(OLD.signing_kid) for _ in range(20)))
    assert all(found)
    assert issuer.calls == 1


async def test_an_unknown_key_causes_a_fetch_at_most_once_per_interval(clock):
    issuer = Issuer(OLD.public_jwks())
    keys = JwksCache(issuer, clock=clock)
    await keys.get(OLD.signing_kid)
    assert [await keys.get(f"forged-{number}") for number in range(50)] == [None] * 50
    assert issuer.calls == 1
    clock.now += RETRY_INTERVAL
    issuer.responses = [both()]
    assert await keys.get(NEW.signing_kid) is not None
    assert issuer.calls == 2


async def test_an_old_set_is_refreshed_in_the_background(clock):
    issuer = Issuer(OLD.public_jwks(), both())
    keys = JwksCache(issuer, clock=clock)
    await keys.get(OLD.signing_kid)
    clock.now += MAX_AGE
    issuer.gate.clear()  # the issuer hangs
    assert await keys.get(OLD.signing_kid) is not None
    issuer.gate.set()
    assert await keys.get(NEW.signing_kid) is not None
    assert issuer.calls == 2


async def test_keys_stay_in_use_while_the_issuer_is_unavailable(clock):
    issuer = Issuer(OLD.public_jwks(), DependencyUnavailable("users"))
    keys = JwksCache(issuer, clock=clock)
    await keys.get(OLD.signing_kid)
    for failures in (1, 2, 3):
        clock.now += MAX_AGE
        assert await keys.get(OLD.signing_kid) is not None
        async with asyncio.timeout(5):
            while issuer.failures < failures:
                await asyncio.sleep(0)
        await asyncio.sleep(0)  # its fetch ends in the next turn
    assert issuer.calls == 4
    assert keys.generation == 0


async def test_an_unknown_key_is_an_outage_while_the_issuer_is_unavailable_and_invalid_afterwards(
    clock,
):
    issuer = Issuer(OSError("refused"), OLD.public_jwks())
    keys = JwksCache(issuer, clock=clock)
    for _ in range(3):
        with pytest.raises(DependencyUnavailable):
            await keys.get(OLD.signing_kid)
    assert issuer.calls == 1
    clock.now += FIRST_RETRY_INTERVAL
    assert await keys.get(OLD.signing_kid) is not None
    clock.now += RETRY_INTERVAL
    assert await keys.get("forged") is None


async def test_a_withdrawn_key_is_unknown_and_raises_the_generation(clock):
    keys = JwksCache(Issuer(both(), NEW.public_jwks()), clock=clock)
    await keys.get(OLD.signing_kid)
    clock.now += RETRY_INTERVAL
    await keys.get("something-new")
    assert await keys.get(OLD.signing_kid) is None
    assert keys.generation == 1


async def test_closing_cancels_a_fetch_in_flight(clock):
    issuer = Issuer(OLD.public_jwks())
    issuer.gate.clear()
    keys = JwksCache(issuer, clock=clock)
    waiting = asyncio.create_task(keys.get("any"))
    while not issuer.calls:
        await asyncio.sleep(0)
    await keys.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
