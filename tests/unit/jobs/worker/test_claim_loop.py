"""The pace of claims: at once when idle, in batches when busy, and none without a free slot."""

import asyncio
from contextlib import asynccontextmanager

from twelvefold.jobs.worker.claim_loop import ClaimLoop, ClaimPace, ClaimResult

NEVER = 3600.0
TURNS = 50  # of the event loop, after which nothing more happens


class Claims:
    """Slots of a worker, and the due jobs that its claims take."""

    def __init__(self, slots: int = 4) -> None:
        self.slots = slots
        self.running = 0
        self.due = 0
        self.claims: list[int] = []  # jobs of each claim
        self.errors: list[Exception] = []
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def claim(self, limit: int, min_overdue: float) -> ClaimResult:
        taken = min(limit, self.due if min_overdue == 0 else 0)
        await self.let_go.wait()
        if self.errors:
            raise self.errors.pop()
        self.due -= taken
        self.running += taken
        self.claims.append(taken)
        return ClaimResult(taken)

    def loop(
        self,
        *,
        pause: float = NEVER,
        poll_interval: float = NEVER,
        grace: float = 5.0,
        retry: float = 0.0,
    ) -> ClaimLoop:
        return ClaimLoop(
            self.claim,
            claimable=lambda: self.slots - self.running,
            capacity=lambda: self.slots,
            poll_interval=lambda: poll_interval,
            wakeup_grace=lambda: grace,
            retry=retry,
            # `factor` makes any claim long enough for the whole pause.
            pace=ClaimPace(factor=1e12, longest=pause),
        )


@asynccontextmanager
async def running(loop: ClaimLoop):
    task = asyncio.create_task(loop.run())
    try:
        await turn_loop()
        yield
    finally:
        loop.stop()
        await task


async def turn_loop() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def test_the_first_claim_takes_what_is_due_at_the_start():
    claims = Claims()
    claims.due = 3
    async with running(claims.loop()):
        assert claims.claims == [3]


async def test_an_idle_worker_claims_at_once_after_a_wake_up():
    claims = Claims()
    loop = claims.loop(pause=0.0)
    async with running(loop):
        for _ in range(3):
            claims.due = 1
            loop.wake()
            await turn_loop()
            claims.running = 0
        assert claims.claims == [0, 1, 1, 1]


async def test_wake_ups_during_a_claim_lead_to_one_more_claim():
    claims = Claims()
    loop = claims.loop(pause=0.0)
    claims.let_go.clear()
    async with running(loop):
        claims.due = 2
        for _ in range(5):
            loop.wake()
        claims.let_go.set()
        await turn_loop()
        assert claims.claims == [0, 2]


async def test_jobs_that_become_due_during_the_pause_are_one_claim():
    claims = Claims()
    loop = claims.loop(pause=0.02)
    async with running(loop):
        for _ in range(3):
            claims.due += 1
            loop.wake()
            await turn_loop()
        assert claims.claims == [0]
        async with asyncio.timeout(10):
            while len(claims.claims) < 2:
                await asyncio.sleep(0.001)
        assert claims.claims == [0, 3]


async def test_a_full_claim_of_which_half_has_ended_is_followed_by_another_without_a_pause():
    claims = Claims(slots=4)
    claims.due = 9
    loop = claims.loop()
    async with running(loop):
        for expected in ([4], [4, 2], [4, 2, 2]):
            assert claims.claims == expected
            for _ in range(2):
                assert claims.claims == expected
                claims.running -= 1
                loop.free_slot()
                await turn_loop()


async def test_slots_that_become_free_one_by_one_are_filled_together_after_the_pause():
    claims = Claims(slots=5)
    claims.due = 9
    loop = claims.loop(pause=0.02)
    async with running(loop):
        for _ in range(2):
            claims.running -= 1
            loop.free_slot()
            await turn_loop()
        assert claims.claims == [5]
        async with asyncio.timeout(10):
            while len(claims.claims) < 2:
                await asyncio.sleep(0.001)
        assert claims.claims == [5, 2]


async def test_a_worker_without_a_free_slot_claims_when_one_becomes_free():
    claims = Claims(slots=1)
    claims.due = 1
    loop = claims.loop(pause=0.0)
    async with running(loop):
        claims.due = 1
        loop.wake()
        await turn_loop()
        assert claims.claims == [1]
        claims.running = 0
        loop.free_slot()
        await turn_loop()
        assert claims.claims == [1, 1]


async def test_a_worker_that_will_claim_anyway_leaves_wake_ups_to_others():
    loop = Claims().loop()
    async with running(loop):
        assert loop.accepts_wakeups
        loop.wake()
        assert not loop.accepts_wakeups


async def test_a_poll_takes_all_that_is_due_if_wake_ups_cannot_be_relied_on():
    claims = Claims()
    async with running(claims.loop(pause=0.0, poll_interval=0.001, grace=0.0)):
        claims.due = 2
        async with asyncio.timeout(10):
            while 2 not in claims.claims:
                await asyncio.sleep(0.001)


async def test_a_claim_that_failed_is_repeated():
    claims = Claims()
    claims.due = 2
    claims.errors.append(OSError("unavailable"))
    async with running(claims.loop(pause=0.0)):
        async with asyncio.timeout(10):
            while claims.claims != [2]:
                await asyncio.sleep(0.001)


async def test_after_a_failure_no_claim_is_made_before_the_retry_is_due():
    claims = Claims(slots=1)
    claims.due = 2
    loop = claims.loop(pause=0.0, retry=NEVER)
    async with running(loop):
        claims.errors.append(OSError("unavailable"))
        claims.running = 0
        loop.free_slot()
        await turn_loop()
        loop.wake()
        await turn_loop()
        assert claims.claims == [1]


async def test_a_stopped_loop_claims_no_more():
    claims = Claims()
    loop = claims.loop(pause=0.0)
    async with running(loop):
        loop.stop()
        claims.due = 1
        loop.wake()
        await turn_loop()
        assert claims.claims == [0]
        assert not loop.accepts_wakeups
