"""A process opens in order, becomes ready once its schema exists, and closes in reverse order."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from twelvefold.errors import DependencyUnavailable
from twelvefold.service import process as process_module
from twelvefold.service.health import Health, ProcessState
from twelvefold.service.process import ServiceProcess
from twelvefold.settings import ServiceSettings


class Backing:
    def __init__(self, steps: list[str]) -> None:
        self._steps = steps

    async def aclose(self) -> None:
        self._steps.append("backing closed")


def part(name: str, steps: list[str], *, fails: bool = False):
    @asynccontextmanager
    async def running():
        if fails:
            raise RuntimeError(name)
        steps.append(f"{name} opened")
        try:
            yield
        finally:
            steps.append(f"{name} closed")

    return running


def process(steps: list[str], **more) -> ServiceProcess:
    return ServiceProcess(
        name="demo",
        settings=ServiceSettings(environment="testing"),
        health=Health(),
        backing=Backing(steps),
        **more,
    )


async def wait_until_ready(it: ServiceProcess) -> None:
    async with asyncio.timeout(5):
        while not it.health.ready:
            await asyncio.sleep(0)


async def test_it_opens_in_order_and_closes_in_reverse():
    steps: list[str] = []
    it = process(steps, background=[part("a", steps), part("b", steps)])
    async with it.open():
        await wait_until_ready(it)
        assert steps == ["a opened", "b opened"]
    assert steps[2:] == ["b closed", "a closed", "backing closed"]


async def test_opened_parts_are_closed_if_a_later_one_fails():
    steps: list[str] = []
    it = process(steps, background=[part("a", steps), part("b", steps, fails=True)])
    with pytest.raises(RuntimeError, match="b"):
        async with it.open():
            pass
    assert steps == ["a opened", "a closed", "backing closed"]


async def test_it_is_ready_once_the_schema_exists_and_a_lost_database_only_delays_it(monkeypatch):
    monkeypatch.setattr(process_module, "SCHEMA_POLL_INTERVAL", 0)
    responses: list[bool | Exception] = [
        DependencyUnavailable("postgres"),
        ConnectionError(),
        False,
        True,
    ]
    states: list[ProcessState] = []

    async def schema_ready() -> bool:
        response = responses[len(states)]
        states.append(it.health.state)
        if isinstance(response, Exception):
            raise response
        return response

    it = process([], schema_ready=schema_ready)
    async with it.open():
        await wait_until_ready(it)
    assert states == [ProcessState.STARTING] * 4


async def test_it_can_be_closed_while_it_waits_for_its_schema():
    async def never() -> bool:
        return False

    steps: list[str] = []
    it = process(steps, schema_ready=never)
    async with it.open():
        await asyncio.sleep(0)
        assert not it.health.ready
    assert steps == ["backing closed"]
