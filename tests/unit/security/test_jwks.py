"""When a verifier asks for the issuer's keys again, and what a failed fetch does: nothing."""

import asyncio
from typing import Any

import pytest

from twelvefold.errors import DependencyUnavailable
from twelvefold.security.jwks import FIRST_RETRY, MAX_AGE, RETRY, JwksCache
from twelvefold.security.keys import KeySet

OLD, NEW = KeySet.generate(), KeySet.generate()


class Issuer:
    """A source that answers what a test tells it to, and counts."""

    def __init__(self, *responses: Any) -> None:
        self.answers = list(responses)
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> Any:
        self.asked += 1
        await self.gate.wait()
        response = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(response, Exception):
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


async def test_a_known_key_is_asked_for_once(clock):
    issuer = Issuer(OLD.public_jwks())
    keys = JwksCache(issuer, clock=clock)
    found = await asyncio.gather(*(keys.get(OLD.signing_kid) for _ in range(20)))
    assert all(found)
    assert issuer.asked == 1


async def test_an_unknown_key_asks_again_but_not_more_often_than_the_pause(clock):
    issuer = Issuer(OLD.public_jwks())
    keys = JwksCache(issuer, clock=clock)
    await keys.get(OLD.signing_kid)
    assert [await keys.get(f"forged-{number}") for number in range(50)] == [None] * 50
    assert issuer.asked == 1
    clock.now += RETRY
    issuer.answers = [both()]
    assert await keys.get(NEW.signing_kid) is not None
    assert issuer.asked == 2


async def test_an_old_set_is_refreshed_beside_the_request_that_uses_it(clock):
    issuer = Issuer(OLD.public_jwks(), both())
    keys = JwksCache(issuer, clock=clock)
    await keys.get(OLD.signing_kid)
    clock.now += MAX_AGE
    issuer.gate.clear()  # the issuer hangs
    assert await keys.get(OLD.signing_kid) is not None
    issuer.gate.set()
    assert await keys.get(NEW.signing_kid) is not None
    assert issuer.asked == 2


async def test_keys_stay_in_use_while_the_issuer_is_away(clock):
    issuer = Issuer(OLD.public_jwks(), DependencyUnavailable("users"))
    keys = JwksCache(issuer, clock=clock)
    await keys.get(OLD.signing_kid)
    for _ in range(3):
        clock.now += MAX_AGE
        assert await keys.get(OLD.signing_kid) is not None
        assert keys._fetching
        await asyncio.wait([keys._fetching])
    assert issuer.asked == 4
    assert keys.generation == 0


async def test_an_unknown_key_is_an_outage_while_the_issuer_is_away_and_a_refusal_after(clock):
    issuer = Issuer(OSError("refused"), OLD.public_jwks())
    keys = JwksCache(issuer, clock=clock)
    for _ in range(3):
        with pytest.raises(DependencyUnavailable):
            await keys.get(OLD.signing_kid)
    assert issuer.asked == 1
    clock.now += FIRST_RETRY
    assert await keys.get(OLD.signing_kid) is not None
    clock.now += RETRY
    assert await keys.get("forged") is None


async def test_a_key_that_was_withdrawn_is_gone_and_announced(clock):
    keys = JwksCache(Issuer(both(), NEW.public_jwks()), clock=clock)
    await keys.get(OLD.signing_kid)
    clock.now += RETRY
    await keys.get("something-new")
    assert await keys.get(OLD.signing_kid) is None
    assert keys.generation == 1


async def test_closing_ends_a_fetch_under_way(clock):
    issuer = Issuer(OLD.public_jwks())
    issuer.gate.clear()
    keys = JwksCache(issuer, clock=clock)
    waiting = asyncio.create_task(keys.get("any"))
    while not issuer.asked:
        await asyncio.sleep(0)
    await keys.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
