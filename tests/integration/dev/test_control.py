"""The lock and the socket by which commands find the supervisor of a checkout."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from twelvefold_dev.servers.server import StackError
from twelvefold_dev.supervisor.control import ControlServer, Message, RunLock, ask


async def echo(request: Message) -> AsyncIterator[Message]:
    if request["command"] == "fail":
        raise StackError("as asked")
    yield {"first": request["command"]}
    yield {"second": request.get("more")}


@pytest.fixture
async def run(tmp_path) -> AsyncIterator[Path]:
    # Longer than the 107 bytes that the path of a Unix socket may have.
    run = tmp_path / ("long" * 30)
    run.mkdir()
    server = ControlServer(run, echo)
    await server.open()
    yield run
    server.close()


def answers(run: Path, **request: object) -> list[Message]:
    return list(ask(run, 5, **request))


async def test_a_request_gets_every_answer_in_order(run) -> None:
    found = await asyncio.to_thread(answers, run, command="look", more=3)
    assert found == [{"first": "look"}, {"second": 3}]


async def test_a_failure_reaches_the_one_who_asked(run) -> None:
    with pytest.raises(StackError, match="as asked"):
        await asyncio.to_thread(answers, run, command="fail")


async def test_only_its_owner_may_ask(run) -> None:
    assert (run / "control.sock").stat().st_mode & 0o777 == 0o600


def test_nobody_there_is_said_so(tmp_path) -> None:
    with pytest.raises(StackError, match="does not answer"):
        answers(tmp_path, command="look")


def test_a_lock_is_one_supervisor_s(tmp_path) -> None:
    first, second = RunLock(tmp_path), RunLock(tmp_path)
    assert first.acquire()
    assert second.is_held
    assert not second.acquire()
    first.release()
    assert second.wait_until_free(within=1)
    assert second.acquire()
    second.release()


async def test_a_killed_holder_leaves_no_lock(tmp_path) -> None:
    code = f"""
import pathlib, time
from twelvefold_dev.supervisor.control import RunLock
lock = RunLock(pathlib.Path({str(tmp_path)!r}))
print(lock.acquire(), flush=True)
time.sleep(600)
"""
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout
    assert await holder.stdout.readline() == b"True\n"
    lock = RunLock(tmp_path)
    assert lock.is_held
    holder.kill()
    await holder.wait()
    assert not lock.is_held
