"""Slots: how many jobs start at once, and which short ones a worker may claim ahead."""

import asyncio
from types import SimpleNamespace
from typing import Any

from twelvefold.identifiers import new_id
from twelvefold.jobs.worker.slots import Slots


class Jobs:
    """Slots, with the jobs that they started and gave back."""

    def __init__(self, count: int = 2, *, max_ahead: int = 4, max_wait: float = 3600.0) -> None:
        self.started: list[Any] = []
        self.given_back: list[Any] = []
        self.slots = Slots(
            count,
            max_ahead=max_ahead,
            max_wait=max_wait,
            start=self.started.append,
            give_back=self.given_back.append,
        )

    def add(self, count: int = 1) -> None:
        for _ in range(count):
            claim = SimpleNamespace(fence=(new_id(), 1), kind="test.work")
            run: Any = SimpleNamespace(claim=claim)
            self.slots.add(run)

    def end(self) -> None:
        """End the first job that started."""
        assert self.slots.release(self.started.pop(0))

    def measure(self, seconds: float = 3600.0) -> None:
        """Run some short jobs, beside claims that take as long as given."""
        for _ in range(20):
            self.add()
            self.end()
            self.slots.note_claim(seconds)


async def test_without_a_measured_run_no_job_is_claimed_ahead():
    jobs = Jobs()
    jobs.slots.note_claim(3600.0)
    assert (jobs.slots.claimable, jobs.slots.ahead) == (2, 0)


async def test_short_jobs_are_claimed_ahead_up_to_the_limit():
    jobs = Jobs()
    jobs.measure()
    assert (jobs.slots.free, jobs.slots.claimable) == (2, 6)


async def test_jobs_that_take_longer_than_a_claim_are_not_claimed_ahead():
    jobs = Jobs()
    jobs.measure(seconds=0.0)
    assert jobs.slots.claimable == 2


async def test_a_job_that_was_claimed_ahead_starts_when_a_slot_becomes_free():
    jobs = Jobs()
    jobs.measure()
    jobs.add(5)
    assert (len(jobs.started), jobs.slots.taken, jobs.slots.free) == (2, 2, -3)
    assert (jobs.slots.claimable, jobs.slots.count_kinds()) == (1, {"test.work": 5})
    jobs.end()
    assert (len(jobs.started), jobs.slots.free) == (2, -2)


async def test_a_job_that_waits_too_long_is_given_back_and_no_more_are_claimed_ahead():
    jobs = Jobs(max_wait=0.01)
    jobs.measure()
    jobs.add(4)
    async with asyncio.timeout(10):
        while len(jobs.given_back) < 2:
            await asyncio.sleep(0.001)
    assert (jobs.slots.taken, jobs.slots.ahead) == (2, 0)


async def test_at_the_end_waiting_jobs_are_given_back_and_running_ones_kept():
    jobs = Jobs()
    jobs.measure()
    jobs.add(4)
    jobs.slots.give_back_waiting()
    assert (len(jobs.given_back), jobs.slots.taken, jobs.slots.free) == (2, 2, 0)


async def test_a_slot_is_freed_once():
    jobs = Jobs()
    jobs.add()
    (run,) = jobs.started
    assert jobs.slots.release(run)
    assert not jobs.slots.release(run)
