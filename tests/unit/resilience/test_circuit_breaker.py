"""Bulkhead and circuit breaker bound the calls to a dependency that is slow or fails."""

import asyncio

import pytest

from twelvefold.errors import DependencyUnavailable, NotFound, Overloaded
from twelvefold.resilience.circuit_breaker import Bulkhead, CircuitBreaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("twelvefold.resilience.circuit_breaker.time.monotonic", clock)
    return clock


def create_bulkhead(max_calls=10, failures=3):
    return Bulkhead(
        "s3", max_calls=max_calls, breaker=CircuitBreaker("s3", failures=failures, open_seconds=1.0)
    )


async def fail(bulkhead: Bulkhead, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(DependencyUnavailable):
            async with bulkhead.call():
                raise DependencyUnavailable("s3")


async def is_refused(bulkhead: Bulkhead) -> bool:
    """Return whether a call is refused without being made."""
    try:
        async with bulkhead.call():
            return False
    except DependencyUnavailable:
        return True


async def test_a_call_over_the_bound_is_refused_and_a_later_one_is_made_again():
    bulkhead = create_bulkhead(max_calls=2)
    inside = asyncio.Event()
    leave = asyncio.Event()

    async def slow():
        async with bulkhead.call():
            inside.set()
            await leave.wait()

    async with bulkhead.call():
        waiting = asyncio.create_task(slow())
        await inside.wait()
        with pytest.raises(Overloaded):
            async with bulkhead.call():
                pytest.fail("a call over the bound was made")
    leave.set()
    await waiting
    async with bulkhead.call(), bulkhead.call():
        pass


async def test_a_call_over_the_bound_waits_where_that_is_allowed():
    bulkhead = Bulkhead("s3", max_calls=2, max_wait=60)
    active, most = 0, 0

    async def call():
        nonlocal active, most
        async with bulkhead.call():
            active += 1
            most = max(most, active)
            await asyncio.sleep(0)
            active -= 1

    await asyncio.gather(*(call() for _ in range(50)))
    assert most == 2


async def test_a_cancelled_call_frees_its_place():
    bulkhead = create_bulkhead(max_calls=1)

    async def slow():
        async with bulkhead.call():
            await asyncio.Event().wait()

    for _ in range(3):
        task = asyncio.create_task(slow())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not await is_refused(bulkhead)


async def test_after_consecutive_failures_no_call_is_made_for_a_while(clock):
    bulkhead = create_bulkhead(failures=3)
    await fail(bulkhead, 2)
    assert not await is_refused(bulkhead), "a success resets the count"
    await fail(bulkhead, 3)
    assert await is_refused(bulkhead)
    clock.now = 1.1
    assert not await is_refused(bulkhead)
    assert not await is_refused(bulkhead)


async def test_one_call_probes_while_the_others_are_still_refused(clock):
    bulkhead = create_bulkhead(failures=1)
    await fail(bulkhead)
    clock.now = 1.1
    async with bulkhead.call():
        assert await is_refused(bulkhead)
    assert not await is_refused(bulkhead)


async def test_a_failed_probe_opens_the_circuit_again(clock):
    bulkhead = create_bulkhead(failures=1)
    await fail(bulkhead)
    clock.now = 1.1
    await fail(bulkhead)
    clock.now = 2.0
    assert await is_refused(bulkhead)
    clock.now = 2.2
    assert not await is_refused(bulkhead)


async def test_a_refusal_by_the_dependency_is_an_answer():
    bulkhead = create_bulkhead(failures=1)
    for _ in range(5):
        with pytest.raises(NotFound):
            async with bulkhead.call():
                raise NotFound
    assert not await is_refused(bulkhead)
