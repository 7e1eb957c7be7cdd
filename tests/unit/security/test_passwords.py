"""Hashing: parameters, bounds, the dummy for nobody, and that the loop stays free."""

import asyncio
import statistics
import time
import unicodedata

import pytest

from twelvefold.context import RequestContext, request_context
from twelvefold.errors import Overloaded
from twelvefold.security.passwords import PasswordCheck, PasswordHasher

SMALL = {"memory": 1024, "passes": 1}
# One password: composed, decomposed, and with a wide letter and a ligature.
PHONE_AND_LAPTOP = [
    "Zo\u00eb findet \u00c5",
    "Zoe\u0308 findet A\u030a",
    "\uff3ao\u00eb \ufb01ndet \u212b",
]


@pytest.fixture
async def hasher():
    made = PasswordHasher(**SMALL)
    yield made
    await made.aclose()


async def test_a_password_fits_its_own_hash_only(hasher):
    stored = await hasher.hash("correct horse")
    assert stored.startswith("$argon2id$v=19$m=1024,t=1,p=1$")
    assert await hasher.verify("correct horse", stored)
    assert not await hasher.verify("Correct horse", stored)
    assert not await hasher.verify("correct horse", None)
    assert await hasher.hash("correct horse") != stored


async def test_no_part_of_a_long_password_is_cut_off(hasher):
    stored = await hasher.hash("é" * 256)
    assert not await hasher.verify("é" * 255, stored)
    assert await hasher.verify("é" * 256, stored)


async def test_a_damaged_hash_fits_nothing(hasher):
    assert not await hasher.verify("anything", "$argon2id$broken")
    assert not await hasher.verify("anything", "plain")


async def test_the_defaults_are_64_mib_and_three_passes():
    hasher = PasswordHasher()
    stored = await hasher.hash("correct horse")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert await hasher.verify("correct horse", stored) is PasswordCheck.RIGHT
    await hasher.aclose()


async def test_a_hash_of_other_parameters_is_to_be_made_anew(hasher):
    weaker = PasswordHasher(memory=512, passes=1)
    stored = await weaker.hash("correct horse")
    assert await hasher.verify("correct horse", stored) is PasswordCheck.OUTDATED
    assert await hasher.verify("wrong horse", stored) is PasswordCheck.WRONG
    await weaker.aclose()


@pytest.mark.parametrize("chosen", PHONE_AND_LAPTOP)
@pytest.mark.parametrize("typed", PHONE_AND_LAPTOP)
async def test_a_phone_and_a_laptop_spell_the_same_password(hasher, chosen, typed):
    assert await hasher.verify(typed, await hasher.hash(chosen)) is PasswordCheck.RIGHT


@pytest.mark.parametrize("given", PHONE_AND_LAPTOP)
async def test_a_hash_of_a_password_as_it_was_given_goes_on_counting_and_is_outdated(hasher, given):
    """As the first releases have made them."""
    stored = await hasher._run(hasher._argon2.hash, given.encode())
    check = await hasher.verify(given, stored)
    is_normal = unicodedata.is_normalized("NFKC", given)
    assert check is (PasswordCheck.RIGHT if is_normal else PasswordCheck.OUTDATED)


async def test_an_account_and_nobody_cost_the_same_whatever_form_is_typed(hasher, monkeypatch):
    work: list[str] = []
    real = PasswordHasher._verify

    def counted(self, stored, password):
        work.append(password)
        return real(self, stored, password)

    stored = await hasher.hash("correct horse")
    monkeypatch.setattr(PasswordHasher, "_verify", counted)
    for known in (stored, None):
        work.clear()
        assert await hasher.verify(PHONE_AND_LAPTOP[1], known) is PasswordCheck.WRONG
        assert len(work) == 2


async def test_nobody_costs_what_an_account_costs(hasher):
    """The dummy has the parameters of a real hash, so argon2 does the same work on it."""
    stored = await hasher.hash("correct horse")
    assert hasher._nobody.split("$")[:4] == stored.split("$")[:4]
    assert len(hasher._nobody) == len(stored)
    known: list[float] = []
    unknown: list[float] = []
    for _ in range(40):
        for times, target in ((known, stored), (unknown, None)):
            start = time.thread_time()
            hasher._verify(target or hasher._nobody, "wrong password")
            times.append(time.thread_time() - start)
    ratio = statistics.median(known) / statistics.median(unknown)
    assert 0.5 < ratio < 2


async def test_a_full_queue_refuses_at_once_and_recovers():
    hasher = PasswordHasher(memory=16 * 1024, passes=3, threads=1, queue=2)
    work = [asyncio.create_task(hasher.hash("correct horse")) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await hasher.hash("one too many")
    await asyncio.gather(*work)
    await hasher.hash("room again")
    await hasher.aclose()


async def test_who_would_have_to_wait_too_long_is_refused_at_once_and_told_when_to_come_back():
    hasher = PasswordHasher(memory=16 * 1024, passes=3, threads=1, queue=1000, wait=0.5)
    await hasher.hash("the first tells how long one takes")
    hasher._seconds = 0.2
    work = [asyncio.create_task(hasher.hash("correct horse")) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await hasher.hash("this one would wait for three")
    assert refused.value.headers["Retry-After"] == "1"
    await asyncio.gather(*work)
    await hasher.hash("room again")
    await hasher.aclose()


async def test_what_nobody_waits_for_any_more_is_not_hashed():
    hasher = PasswordHasher(**SMALL, threads=1)
    late = RequestContext("r", deadline=time.monotonic() - 1)
    with request_context(late), pytest.raises(Overloaded):
        await hasher.hash("correct horse")
    assert hasher._pending == 0
    await hasher.aclose()


async def test_a_cancelled_caller_gives_its_place_back():
    hasher = PasswordHasher(**SMALL, threads=1, queue=1)
    for _ in range(10):
        task = asyncio.create_task(hasher.hash("correct horse"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await hasher.hash("another")
    assert hasher._pending == 0
    await hasher.aclose()


async def test_a_closed_hasher_refuses(hasher):
    await hasher.aclose()
    with pytest.raises(Overloaded):
        await hasher.hash("correct horse")


async def test_hashing_leaves_the_event_loop_free():
    hasher = PasswordHasher()
    work = asyncio.gather(*(hasher.hash("correct horse") for _ in range(8)))
    turns = 0
    while not work.done():
        await asyncio.sleep(0.001)
        turns += 1
    await work
    await hasher.aclose()
    # Eight hashes take well over a hundred milliseconds; a blocked loop would turn a few times.
    assert turns > 40


async def test_half_a_character_is_a_wrong_password_and_no_error(hasher):
    stored = await hasher.hash("correct horse")
    assert not await hasher.verify("correct \ud800 horse", stored)
