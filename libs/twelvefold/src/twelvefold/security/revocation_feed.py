"""What a process remembers of revocations, so that neither a stall nor a lost Redis forgets them.

New ones come by pub/sub within milliseconds; at the start and after each lost connection the sorted
set says what is missing. Owns that memory and how it is kept whole. What a revoked token is refused
with is the edge's business; the marks in Redis are `revocation`'s.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from twelvefold.cache.pubsub import Subscriber
from twelvefold.errors import DependencyUnavailable, LoopStalled
from twelvefold.observability import metrics
from twelvefold.resilience.redis_calls import RedisCalls
from twelvefold.settings import RedisSettings
from twelvefold.tasks import cancel_and_wait

from .revocation import LIFETIME, RESTORED, REVOCATIONS

MAX_SUBJECTS = 100_000  # some 25 MB
_POOL = "revocations"
_PAGE = 1000  # subjects in one reply
_OVERLAP = 100
_TIMEOUT = 1.0  # seconds for a page
_RETRY = 1.0  # seconds after a failed read
_log = structlog.get_logger(__name__)


class RevokedSubjects:
    """Session ids and account ids with the time until which each is revoked, `most` at most.

    When it is full, the one that would expire first is forgotten: its tokens have the least time
    left. Each of those counts as an exhausted pool, which an alert reports.
    """

    def __init__(
        self, *, most: int = MAX_SUBJECTS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._clock = clock
        self._until: OrderedDict[bytes, float] = OrderedDict()  # in the order of expiry, almost
        metrics.register_pool(_POOL, most, lambda: len(self._until))

    def __contains__(self, subject: UUID) -> bool:
        until = self._until.get(subject.bytes)
        return until is not None and until > self._clock()

    def add(self, subject: UUID, seconds: float = LIFETIME) -> None:
        """Revoked for `seconds` from now, or for longer where that was known before."""
        now = self._clock()
        until = max(now + seconds, self._until.pop(subject.bytes, now))
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        if len(self._until) >= self._most:
            self._until.popitem(last=False)
            metrics.pool_exhausted.labels(_POOL).inc()
        self._until[subject.bytes] = until

    def discard(self, subject: UUID) -> None:
        self._until.pop(subject.bytes, None)


class RevocationFeed:
    """Keeps a process's `RevokedSubjects` whole while it runs."""

    def __init__(
        self, redis: Redis, settings: RedisSettings, *, subjects: RevokedSubjects | None = None
    ) -> None:
        self.subjects = subjects if subjects is not None else RevokedSubjects()
        self._redis = redis
        self._calls = RedisCalls(timeout=_TIMEOUT)
        self._subscriber = Subscriber(settings)
        self._incomplete = asyncio.Event()
        self._heard: set[UUID] = set()  # while a read is under way: later than what it finds

    def is_revoked(self, *subjects: UUID) -> bool:
        return any(subject in self.subjects for subject in subjects)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follows revocations while the block runs."""
        self._incomplete.set()
        with self._subscriber.listen(REVOCATIONS, self._hear):
            async with self._subscriber.running():
                task = asyncio.create_task(self._read_when_incomplete(), name="revocations")
                try:
                    yield
                finally:
                    await cancel_and_wait([task])

    def _hear(self, message: str) -> None:
        """One revocation or restoration, or the news that the subscription has begun (again)."""
        if not message:
            self._incomplete.set()
            return
        if subject := _subject_of(message):
            self._heard.add(subject)
            self._apply(subject, message, LIFETIME)

    def _apply(self, subject: UUID, member: str, seconds: float) -> None:
        if member.startswith(RESTORED):
            self.subjects.discard(subject)
        else:
            self.subjects.add(subject, seconds)

    async def _read_when_incomplete(self) -> None:
        logged = False
        while True:
            await self._incomplete.wait()
            self._incomplete.clear()
            try:
                await self._read()
                logged = False
            except (RedisError, DependencyUnavailable, LoopStalled) as error:
                if not logged:
                    _log.warning("revocations_read_failed", error=type(error).__name__)
                logged = True
                self._incomplete.set()
                await asyncio.sleep(_RETRY)

    async def _read(self) -> None:
        """Remembers whatever is revoked, in the order of expiry."""
        self._heard.clear()
        found, now = await self._found()
        while found:
            for _ in range(min(_PAGE, len(found))):  # no longer, so that the loop stays free
                member, expiry = found.pop()
                subject = _subject_of(member)
                if subject is not None and subject not in self._heard:
                    self._apply(subject, member, expiry - now)
            await asyncio.sleep(0)

    async def _found(self) -> tuple[list[tuple[str, float]], float]:
        """What the sorted set holds, the last to expire first, and the time there.

        In this order nothing is passed over: new ones come in front, old ones go at the end.
        Pages overlap, since one that is revoked again or restored changes its place.
        """
        now, _ = await self._calls.call(self._redis.time)
        found: list[tuple[str, float]] = []
        while len(found) < MAX_SUBJECTS:
            start = max(0, len(found) - _OVERLAP)
            read = partial(
                self._redis.zrevrangebyscore,
                *(REVOCATIONS, "+inf", now),
                start=start,
                num=_PAGE,
                withscores=True,
            )
            page = await self._calls.call(read)
            found[start:] = [(member.decode(), expiry) for member, expiry in page]
            if len(page) < _PAGE:
                break
        return found, float(now)


def _subject_of(member: str) -> UUID | None:
    try:
        return UUID(member.removeprefix(RESTORED))
    except ValueError:
        _log.warning("revocation_malformed")
        return None
