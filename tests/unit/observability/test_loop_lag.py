"""The lag of the event loop: only a stalled loop explains a failed call."""

import ast
import asyncio
import time
from pathlib import Path

import pytest

from twelvefold.errors import DependencyUnavailable
from twelvefold.observability.loop_lag import LagWatch
from twelvefold.resilience.circuit_breaker import Bulkhead, CircuitBreaker

SOURCES = Path(__file__).parents[3] / "libs/twelvefold/src/twelvefold"


def stall(seconds: float) -> None:
    """Block the event loop."""
    time.sleep(seconds)


async def test_a_stall_during_the_call_excuses_it():
    with LagWatch() as watch:
        await asyncio.sleep(0)
        stall(0.2)
        assert watch.excuses(0.25), "also before the loop has had a turn"
        await asyncio.sleep(0)
    assert watch.excuses(0.25)
    assert watch.excuses()
    assert not watch.excuses(10.0)


async def test_a_stall_before_the_call_excuses_nothing():
    with LagWatch():
        stall(0.2)
        with LagWatch() as watch:
            await asyncio.sleep(0)
    assert not watch.excuses(0.25)


async def test_a_server_without_a_response_is_no_lag():
    with LagWatch() as watch:
        await asyncio.sleep(0.2)
    assert not watch.excuses(0.25)


def test_without_a_loop_nothing_is_late():
    with LagWatch() as watch:
        pass
    assert watch.seconds == 0.0


@pytest.mark.parametrize("stalls", [True, False], ids=["a stall of this process", "a loss"])
async def test_a_circuit_breaker_opens_for_a_loss_and_not_for_a_stall(stalls):
    guard = Bulkhead("s3", max_calls=1, breaker=CircuitBreaker("s3", failures=1, open_seconds=60))

    async def fail() -> None:
        async with guard.call():
            await asyncio.sleep(0)
            if stalls:
                stall(0.1)
            raise DependencyUnavailable("s3")

    with pytest.raises(DependencyUnavailable):
        await fail()
    if stalls:
        async with guard.call():
            pass
    else:
        with pytest.raises(DependencyUnavailable):
            async with guard.call():
                pytest.fail("a call was made")


def test_each_failure_reported_to_a_breaker_considers_the_lag_of_the_loop():
    """Each caller of `CircuitBreaker.record_failure` also calls `LagWatch.excuses`."""
    reporters = {}
    for source in sorted(SOURCES.rglob("*.py")):
        for function in ast.walk(ast.parse(source.read_text())):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            called = {
                ast.unparse(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)
            }
            if any(name.endswith("breaker.record_failure") for name in called):
                reporters[f"{source.name}:{function.name}"] = any(
                    name.endswith(".excuses") for name in called
                )
    assert reporters == {"circuit_breaker.py:_observe": True, "redis_calls.py:call": True}
