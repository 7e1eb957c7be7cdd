"""The lock and the socket that connect commands to the supervisor of a checkout."""

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
        raise StackError("the command failed")
    yield {"first": request["command"]}
    yield {"second": request.get("more")}


@pytest.fixture
async def run(tmp_path) -> AsyncIterator[Path]:
    # Longer than the 107 bytes that the path of a Unix socket can have.
    run = tmp_path / ("long" * 30)
    run.mkdir()
    server = ControlServer(run, echo)
    await server.open()
    yield run
    server.close()


def responses_to(run: Path, **request: object) -> list[Message]:
    return list(ask(run, 5, **request))


async def test_a_request_receives_all_responses_in_order(run) -> None:
    responses = await asyncio.to_thread(responses_to, run, command="ps", more=3)
    assert responses == [{"first": "ps"}, {"second": 3}]


async def test_a_failure_is_raised_in_the_command(run) -> None:
    with pytest.raises(StackError, match="the command failed"):
        await asyncio.to_thread(responses_to, run, command="fail")


async def test_only_its_owner_can_open_the_socket(run) -> None:
    assert (run / "control.sock").stat().st_mode & 0o777 == 0o600


def test_a_missing_supervisor_is_reported(tmp_path) -> None:
    with pytest.raises(StackError, match="does not respond"):
        responses_to(tmp_path, command="ps")


def test_only_one_supervisor_holds_the_lock(tmp_path) -> None:
    first, second = RunLock(tmp_path), RunLock(tmp_path)
    assert first.acquire()
    assert second.is_held
    assert not second.acquire()
    first.release()
    assert second.wait_until_free(within=1)
    assert second.acquire()
    second.release()


async def test_the_lock_of_a_killed_process_is_free(tmp_path) -> None:
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
