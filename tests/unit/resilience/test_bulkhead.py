"""A guard refuses at once what would only wait: too many calls, or calls into the void."""

import asyncio

import pytest

from twelvefold.errors import DependencyUnavailable, NotFound, Overloaded
from twelvefold.resilience.bulkhead import Bulkhead
from twelvefold.resilience.circuit_breaker import CircuitBreaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("twelvefold.resilience.circuit_breaker.time.monotonic", clock)
    return clock


def guard(most=10, failures=3):
    return Bulkhead(
        "s3", max_calls=most, breaker=CircuitBreaker("s3", failures=failures, open_seconds=1.0)
    )


def failing(stands: Bulkhead, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(DependencyUnavailable), stands.call():
            raise DependencyUnavailable("s3")


def refused(stands: Bulkhead) -> bool:
    """Whether a call is refused without being made."""
    try:
        with stands.call():
            return False
    except DependencyUnavailable:
        return True


async def test_beyond_its_bound_a_call_is_refused_and_the_next_one_fits_again():
    stands = guard(most=2)
    inside = asyncio.Event()
    leave = asyncio.Event()

    async def slow():
        with stands.call():
            inside.set()
            await leave.wait()

    with stands.call():
        waiting = asyncio.create_task(slow())
        await inside.wait()
        with pytest.raises(Overloaded), stands.call():
            pytest.fail("one too many was let in")
    leave.set()
    await waiting
    with stands.call(), stands.call():
        pass


async def test_a_cancelled_call_gives_its_place_back():
    stands = guard(most=1)

    async def slow():
        with stands.call():
            await asyncio.Event().wait()

    for _ in range(3):
        task = asyncio.create_task(slow())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not refused(stands)


def test_after_so_many_failures_in_a_row_nobody_is_asked_for_a_while(clock):
    stands = guard(failures=3)
    failing(stands, 2)
    assert not refused(stands), "that one was answered: the row is broken"
    failing(stands, 3)
    assert refused(stands)
    clock.now = 1.1
    assert not refused(stands)
    assert not refused(stands)


def test_one_call_probes_while_the_others_go_on_being_refused(clock):
    stands = guard(failures=1)
    failing(stands)
    clock.now = 1.1
    with stands.call():
        assert refused(stands)
    assert not refused(stands)


def test_a_probe_that_fails_opens_it_again(clock):
    stands = guard(failures=1)
    failing(stands)
    clock.now = 1.1
    failing(stands)
    clock.now = 2.0
    assert refused(stands)
    clock.now = 2.2
    assert not refused(stands)


def test_a_refusal_by_the_dependency_is_an_answer():
    stands = guard(failures=1)
    for _ in range(5):
        with pytest.raises(NotFound), stands.call():
            raise NotFound
    assert not refused(stands)
