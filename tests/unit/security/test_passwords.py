"""Hashing: parameters, bounds, equal cost without an account, and that the loop stays free."""

import asyncio
import threading
import time
import unicodedata
from collections.abc import Iterator

import argon2
import pytest

from twelvefold.context import RequestContext, request_context
from twelvefold.errors import Overloaded
from twelvefold.observability import metrics
from twelvefold.security.passwords import PasswordCheck, PasswordHasher

SMALL = {"memory": 1024, "passes": 1}
# One password: composed, decomposed, and with a wide letter and a ligature.
UNICODE_FORMS = [
    "Zo\u00eb findet \u00c5",
    "Zoe\u0308 findet A\u030a",
    "\uff3ao\u00eb \ufb01ndet \u212b",
]


@pytest.fixture
async def hasher():
    hasher = PasswordHasher(**SMALL)
    yield hasher
    await hasher.aclose()


@pytest.fixture
def may_hash(monkeypatch) -> Iterator[threading.Event]:
    """Hashing ends once this is set; until then it holds its thread."""
    event, real = threading.Event(), argon2.PasswordHasher.hash

    def hash_when_allowed(self, password):
        event.wait(20)
        return real(self, password)

    monkeypatch.setattr(argon2.PasswordHasher, "hash", hash_when_allowed)
    yield event
    event.set()


async def test_a_password_matches_its_own_hash_only(hasher):
    stored = await hasher.hash("correct horse")
    assert stored.startswith("$argon2id$v=19$m=1024,t=1,p=1$")
    assert await hasher.verify("correct horse", stored)
    assert not await hasher.verify("Correct horse", stored)
    assert not await hasher.verify("correct horse", None)
    assert await hasher.hash("correct horse") != stored


async def test_a_long_password_is_not_truncated(hasher):
    stored = await hasher.hash("é" * 256)
    assert not await hasher.verify("é" * 255, stored)
    assert await hasher.verify("é" * 256, stored)


async def test_a_damaged_hash_matches_no_password(hasher):
    assert not await hasher.verify("anything", "$argon2id$broken")
    assert not await hasher.verify("anything", "plain")


async def test_the_defaults_are_64_mib_and_three_passes():
    hasher = PasswordHasher()
    stored = await hasher.hash("correct horse")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert await hasher.verify("correct horse", stored) is PasswordCheck.RIGHT
    await hasher.aclose()


async def test_a_hash_of_other_parameters_is_outdated(hasher):
    weaker = PasswordHasher(memory=512, passes=1)
    stored = await weaker.hash("correct horse")
    assert await hasher.verify("correct horse", stored) is PasswordCheck.OUTDATED
    assert await hasher.verify("wrong horse", stored) is PasswordCheck.WRONG
    await weaker.aclose()


@pytest.mark.parametrize("chosen", UNICODE_FORMS)
@pytest.mark.parametrize("typed", UNICODE_FORMS)
async def test_all_unicode_forms_of_a_password_match(hasher, chosen, typed):
    assert await hasher.verify(typed, await hasher.hash(chosen)) is PasswordCheck.RIGHT


@pytest.mark.parametrize("given", UNICODE_FORMS)
async def test_a_hash_of_a_password_without_normalization_matches_and_is_outdated(hasher, given):
    """The first releases made such hashes."""
    stored = argon2.PasswordHasher(1, 1024, 1).hash(given.encode())
    check = await hasher.verify(given, stored)
    is_normal = unicodedata.is_normalized("NFKC", given)
    assert check is (PasswordCheck.RIGHT if is_normal else PasswordCheck.OUTDATED)


async def test_an_unknown_account_costs_what_a_known_one_costs(hasher, monkeypatch):
    """Argon2 does the same work for hashes of the same parameters and lengths."""
    work: list[tuple[list[str], int, int]] = []
    real = argon2.PasswordHasher.verify

    def counted(self, encoded, password):
        work.append((encoded.split("$")[:4], len(encoded), len(password)))
        return real(self, encoded, password)

    stored = await hasher.hash("correct horse")
    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    for typed, times in (("wrong horse", 1), (UNICODE_FORMS[1], 2)):
        for known in (stored, None):
            assert await hasher.verify(typed, known) is PasswordCheck.WRONG
        assert len(work) == 2 * times
        assert work[:times] == work[times:]
        work.clear()


async def test_a_full_queue_refuses_at_once_and_recovers(may_hash):
    hasher = PasswordHasher(**SMALL, threads=1, queue=2)
    work = [asyncio.create_task(hasher.hash("correct horse")) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await hasher.hash("one too many")
    may_hash.set()
    await asyncio.gather(*work)
    await hasher.hash("free again")
    await hasher.aclose()


async def test_twenty_at_once_are_all_hashed(may_hash):
    hasher = PasswordHasher(**SMALL)
    work = [asyncio.create_task(hasher.hash("correct horse")) for _ in range(20)]
    await asyncio.sleep(0)
    may_hash.set()
    assert len(await asyncio.gather(*work)) == 20
    await hasher.aclose()


async def test_no_more_than_its_threads_are_hashed_at_a_time(monkeypatch):
    active, most, lock, real = 0, 0, threading.Lock(), argon2.PasswordHasher.hash

    def counted(self, password):
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        try:
            return real(self, password)
        finally:
            with lock:
                active -= 1

    monkeypatch.setattr(argon2.PasswordHasher, "hash", counted)
    hasher = PasswordHasher(**SMALL, threads=2)
    await asyncio.gather(*(hasher.hash("correct horse") for _ in range(20)))
    assert most == 2
    await hasher.aclose()


async def test_a_wait_that_is_too_long_is_refused(may_hash):
    hasher = PasswordHasher(**SMALL, threads=1, queue=1000, wait=0.05)
    work = asyncio.create_task(hasher.hash("correct horse"))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await hasher.hash("this one waits")
    assert refused.value.headers["Retry-After"] == "1"
    may_hash.set()
    await work
    await hasher.hash("free again")
    await hasher.aclose()


async def test_the_thread_of_a_caller_who_left_counts_until_it_ends(may_hash):
    hasher = PasswordHasher(**SMALL, threads=1, queue=0)
    task = asyncio.create_task(hasher.hash("correct horse"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    with pytest.raises(Overloaded):
        await hasher.hash("the thread is still at work")
    may_hash.set()
    async with asyncio.timeout(10):
        while metrics.REGISTRY.get_sample_value("pool_in_use", {"pool": "argon2"}):
            await asyncio.sleep(0)
    assert await hasher.hash("free again")
    await hasher.aclose()


async def test_a_hash_past_the_deadline_of_its_request_is_not_made():
    hasher = PasswordHasher(**SMALL, threads=1, queue=0)
    late = RequestContext("r", deadline=time.monotonic() - 1)
    with request_context(late), pytest.raises(Overloaded):
        await hasher.hash("correct horse")
    assert await hasher.hash("its place is free")
    await hasher.aclose()


async def test_a_cancelled_caller_frees_its_place():
    hasher = PasswordHasher(**SMALL, threads=1, queue=1)
    for _ in range(10):
        task = asyncio.create_task(hasher.hash("correct horse"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert await hasher.hash("another")
    await hasher.aclose()


async def test_a_closed_hasher_refuses(hasher):
    await hasher.aclose()
    with pytest.raises(Overloaded):
        await hasher.hash("correct horse")


async def test_a_hasher_that_is_closed_refuses_those_who_wait(may_hash):
    hasher = PasswordHasher(**SMALL, threads=1)
    work = [asyncio.create_task(hasher.hash("correct horse")) for _ in range(3)]
    await asyncio.sleep(0)
    await hasher.aclose()
    may_hash.set()
    first, *others = await asyncio.gather(*work, return_exceptions=True)
    assert isinstance(first, str)
    assert all(isinstance(error, Overloaded) for error in others)


async def test_the_event_loop_turns_while_a_password_is_hashed(may_hash):
    hasher = PasswordHasher(**SMALL)
    work = asyncio.create_task(hasher.hash("correct horse"))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not work.done()
    may_hash.set()
    assert await work
    await hasher.aclose()


async def test_other_threads_run_while_argon2_does():
    hasher = PasswordHasher(wait=60)
    hashes = 8
    work = asyncio.gather(*(hasher.hash("correct horse") for _ in range(hashes)))
    turns = 0
    while not work.done():
        await asyncio.sleep(0.001)
        turns += 1
    await work
    await hasher.aclose()
    assert turns > 2 * hashes, "argon2 keeps the interpreter's lock: a turn for each hash"


async def test_a_lone_surrogate_is_a_wrong_password_and_not_an_error(hasher):
    stored = await hasher.hash("correct horse")
    assert not await hasher.verify("correct \ud800 horse", stored)
