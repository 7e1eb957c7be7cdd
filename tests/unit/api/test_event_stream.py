"""The stream of one job's changes."""

import asyncio
import json
import math
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from api.event_stream import EventStreams, last_version
from twelvefold.contracts.accounts import Role
from twelvefold.errors import NotFound
from twelvefold.jobs import JobRecord, JobStatus
from twelvefold.security.principals import Principal

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def principal(expires_at: float = math.inf) -> Principal:
    return Principal(uuid4(), Role.USER, frozenset(), uuid4(), "token", expires_at)


def job(status: JobStatus, version: int, progress: int = 0) -> JobRecord:
    return JobRecord(
        id=uuid4(),
        kind="image.process",
        queue="default",
        priority=0,
        owner_id=uuid4(),
        status=status,
        progress=progress,
        attempts=0,
        crashes=0,
        max_attempts=5,
        cancel_requested=False,
        created_at=NOW,
        run_at=NOW,
        started_at=None,
        finished_at=None,
        result=None,
        error=None,
        version=version,
    )


async def changes(*jobs: JobRecord) -> AsyncGenerator[JobRecord]:
    for record in jobs:
        yield record
    await asyncio.Event().wait()


async def valid() -> bool:
    return True


async def invalid() -> bool:
    return False


def streamed(
    streams: EventStreams,
    source: AsyncGenerator[JobRecord],
    caller: Principal | None = None,
    *,
    after: int | None = None,
    still_valid=valid,
) -> AsyncGenerator[bytes]:
    return streams.stream(source, caller or principal(), after=after, still_valid=still_valid)


async def read(frames: AsyncGenerator[bytes]) -> list[dict[str, str]]:
    """Events by field; comments and the retry line are left out."""
    async with asyncio.timeout(5):
        text = b"".join([frame async for frame in frames]).decode()
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[0] != ":")
        if "event" in fields:
            found.append(fields)
    return found


QUEUED = job(JobStatus.QUEUED, 0)
RUNNING = job(JobStatus.RUNNING, 1)
HALF = job(JobStatus.RUNNING, 2, progress=50)
DONE = job(JobStatus.SUCCEEDED, 3, progress=100)


async def test_a_job_is_followed_from_its_state_to_its_end():
    events = await read(streamed(EventStreams(max_streams=1), changes(QUEUED, RUNNING, HALF, DONE)))
    assert [(event["event"], event.get("id")) for event in events] == [
        ("state", "0"),
        ("state", "1"),
        ("progress", "2"),
        ("state", "3"),
        ("end", None),
    ]
    assert json.loads(events[2]["data"])["progress"] == 50
    assert json.loads(events[-1]["data"]) == {"reason": "finished", "status": "succeeded"}


async def test_who_comes_back_gets_only_what_is_new():
    events = await read(streamed(EventStreams(max_streams=1), changes(HALF, DONE), after=2))
    assert [event.get("id") for event in events] == ["3", None]


async def test_the_stream_ends_with_the_token():
    caller = principal(expires_at=time.time() + 0.05)
    events = await read(streamed(EventStreams(max_streams=1), changes(QUEUED), caller))
    assert json.loads(events[-1]["data"]) == {"reason": "token_expired"}


async def test_an_idle_stream_sends_comments():
    frames = streamed(EventStreams(max_streams=1, heartbeat=0.01), changes(QUEUED))
    seen = []
    async for frame in frames:
        seen.append(frame)
        if seen.count(b": alive\n\n") == 2:
            break
    await frames.aclose()


async def test_a_revoked_session_ends_its_streams():
    frames = streamed(
        EventStreams(max_streams=1, heartbeat=0.01), changes(QUEUED), still_valid=invalid
    )
    events = await read(frames)
    assert json.loads(events[-1]["data"]) == {"reason": "token_revoked"}


async def test_a_draining_process_ends_every_stream_in_order():
    streams = EventStreams(max_streams=1)
    reading = asyncio.create_task(read(streamed(streams, changes(QUEUED))))
    await streams.drain()
    events = await reading
    assert json.loads(events[-1]["data"]) == {"reason": "draining"}


async def test_a_deleted_job_ends_its_stream():
    async def pruned() -> AsyncGenerator[JobRecord]:
        yield QUEUED
        raise NotFound("The job does not exist.")

    events = await read(streamed(EventStreams(max_streams=1), pruned()))
    assert json.loads(events[-1]["data"]) == {"reason": "gone"}


async def test_a_reader_who_leaves_ends_the_watch():
    left = asyncio.Event()

    async def watched() -> AsyncGenerator[JobRecord]:
        try:
            yield QUEUED
            await asyncio.Event().wait()
        finally:
            left.set()

    frames = streamed(EventStreams(max_streams=1), watched())
    assert [await anext(frames) for _ in range(2)][1].startswith(b"id: 0\n")
    await frames.aclose()
    assert left.is_set()


@pytest.mark.parametrize("header", [None, "", "x", "-1", "1" * 30, "²"])
def test_a_foreign_event_id_is_ignored(header):
    assert last_version(header) is None
