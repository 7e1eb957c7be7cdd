"""Bulkhead and circuit breaker refuse calls at once that would only wait or fail."""

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


def fail(bulkhead: Bulkhead, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(DependencyUnavailable), bulkhead.call():
            raise DependencyUnavailable("s3")


def is_refused(bulkhead: Bulkhead) -> bool:
    """Return whether a call is refused without being made."""
    try:
        with bulkhead.call():
            return False
    except DependencyUnavailable:
        return True


async def test_a_call_over_the_bound_is_refused_and_a_later_one_is_made_again():
    bulkhead = create_bulkhead(max_calls=2)
    inside = asyncio.Event()
    leave = asyncio.Event()

    async def slow():
        with bulkhead.call():
            inside.set()
            await leave.wait()

    with bulkhead.call():
        waiting = asyncio.create_task(slow())
        await inside.wait()
        with pytest.raises(Overloaded), bulkhead.call():
            pytest.fail("a call over the bound was made")
    leave.set()
    await waiting
    with bulkhead.call(), bulkhead.call():
        pass


async def test_a_cancelled_call_frees_its_place():
    bulkhead = create_bulkhead(max_calls=1)

    async def slow():
        with bulkhead.call():
            await asyncio.Event().wait()

    for _ in range(3):
        task = asyncio.create_task(slow())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not is_refused(bulkhead)


def test_after_consecutive_failures_no_call_is_made_for_a_while(clock):
    bulkhead = create_bulkhead(failures=3)
    fail(bulkhead, 2)
    assert not is_refused(bulkhead), "a success resets the count"
    fail(bulkhead, 3)
    assert is_refused(bulkhead)
    clock.now = 1.1
    assert not is_refused(bulkhead)
    assert not is_refused(bulkhead)


def test_one_call_probes_while_the_others_are_still_refused(clock):
    bulkhead = create_bulkhead(failures=1)
    fail(bulkhead)
    clock.now = 1.1
    with bulkhead.call():
        assert is_refused(bulkhead)
    assert not is_refused(bulkhead)


def test_a_failed_probe_opens_the_circuit_again(clock):
    bulkhead = create_bulkhead(failures=1)
    fail(bulkhead)
    clock.now = 1.1
    fail(bulkhead)
    clock.now = 2.0
    assert is_refused(bulkhead)
    clock.now = 2.2
    assert not is_refused(bulkhead)


def test_a_refusal_by_the_dependency_is_an_answer():
    bulkhead = create_bulkhead(failures=1)
    for _ in range(5):
        with pytest.raises(NotFound), bulkhead.call():
            raise NotFound
    assert not is_refused(bulkhead)
