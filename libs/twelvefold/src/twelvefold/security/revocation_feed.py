"""The revocations in memory of a process, which stay in force while Redis is unavailable.

New ones arrive by pub/sub within milliseconds; at the start and after each lost connection the
process reads the sorted set. Owns the copy in memory. `revocation` owns the marks in Redis; the
edge refuses a revoked token.
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
from redis.exceptions import RedisError

from twelvefold.cache.pubsub import Subscriber
from twelvefold.errors import DependencyUnavailable, LoopStalled
from twelvefold.observability import metrics
from twelvefold.observability.outage_log import OutageLog
from twelvefold.resilience.redis_calls import RedisCalls, RedisClient
from twelvefold.settings import RedisSettings
from twelvefold.tasks import cancel_and_wait

from .revocation import LIFETIME, RESTORED_PREFIX, REVOCATIONS

MAX_SUBJECTS = 100_000  # some 25 MB
_POOL = "revocations"
_PAGE_SIZE = 1000  # subjects in one reply
_PAGE_OVERLAP = 100  # subjects
_TIMEOUT = 1.0  # seconds per page
_RETRY_DELAY = 1.0  # seconds after a failed read
_log = structlog.get_logger(__name__)


class RevokedSubjects:
    """Revoked session ids and account ids with their expiry; at most `max_subjects` of them.

    When it is full, the subject that would expire first is dropped, since its tokens have the least
    time left. Each drop counts as an exhausted pool, for which there is an alert.
    """

    def __init__(
        self, *, max_subjects: int = MAX_SUBJECTS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_subjects = max_subjects
        self._clock = clock
        self._until: OrderedDict[bytes, float] = OrderedDict()  # roughly in the order of expiry
        metrics.register_pool(_POOL, max_subjects, lambda: len(self._until))

    def __contains__(self, subject: UUID) -> bool:
        until = self._until.get(subject.bytes)
        return until is not None and until > self._clock()

    def add(self, subject: UUID, seconds: float = LIFETIME) -> None:
        """Revoke `subject` for `seconds` from now; a later known expiry stays."""
        now = self._clock()
        until = max(now + seconds, self._until.pop(subject.bytes, now))
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        if len(self._until) >= self._max_subjects:
            self._until.popitem(last=False)
            metrics.pool_exhausted.labels(_POOL).inc()
        self._until[subject.bytes] = until

    def discard(self, subject: UUID) -> None:
        """Lift the revocation of `subject`, if there is one."""
        self._until.pop(subject.bytes, None)


class RevocationFeed:
    """A subscription that keeps the `RevokedSubjects` of a process complete."""

    def __init__(
        self,
        redis: RedisClient,
        settings: RedisSettings,
        *,
        subjects: RevokedSubjects | None = None,
    ) -> None:
        self.subjects = subjects if subjects is not None else RevokedSubjects()
        self._redis = redis
        self._calls = RedisCalls(timeout=_TIMEOUT)
        self._subscriber = Subscriber(settings)
        self._incomplete = asyncio.Event()
        # Subjects of messages during a read, which are newer than the result of the read.
        self._received: set[UUID] = set()

    def is_revoked(self, *subjects: UUID) -> bool:
        """Return whether any of the subjects is revoked."""
        return any(subject in self.subjects for subject in subjects)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow revocations while the block runs."""
        self._incomplete.set()
        with self._subscriber.listen(REVOCATIONS, self._on_message):
            async with self._subscriber.running():
                task = asyncio.create_task(self._read_when_incomplete(), name="revocations")
                try:
                    yield
                finally:
                    await cancel_and_wait([task])

    def _on_message(self, message: str) -> None:
        """Apply one revocation or restoration; empty: the subscription has begun (again)."""
        if not message:
            self._incomplete.set()
            return
        if subject := _parse_subject(message):
            self._received.add(subject)
            self._apply(subject, message, LIFETIME)

    def _apply(self, subject: UUID, member: str, seconds: float) -> None:
        if member.startswith(RESTORED_PREFIX):
            self.subjects.discard(subject)
        else:
            self.subjects.add(subject, seconds)

    async def _read_when_incomplete(self) -> None:
        outage = OutageLog(_log)
        while True:
            await self._incomplete.wait()
            self._incomplete.clear()
            try:
                await self._read()
                outage.succeeded()
            except (RedisError, DependencyUnavailable, LoopStalled) as error:
                outage.failed("revocations_read_failed", error=type(error).__name__)
                self._incomplete.set()
                await asyncio.sleep(_RETRY_DELAY)

    async def _read(self) -> None:
        """Copy the sorted set into memory, in the order of expiry."""
        self._received.clear()
        members, now = await self._read_members()
        while members:
            for _ in range(min(_PAGE_SIZE, len(members))):  # bounded, to yield to the event loop
                member, expiry = members.pop()
                subject = _parse_subject(member)
                if subject is not None and subject not in self._received:
                    self._apply(subject, member, expiry - now)
            await asyncio.sleep(0)

    async def _read_members(self) -> tuple[list[tuple[str, float]], float]:
        """Return the sorted set's members, the last to expire first, and Redis's time.

        In this order no member is missed: new ones are added in front, old ones leave at the end.
        Pages overlap, since a member that is revoked again or restored changes its place.
        """
        now, _ = await self._calls.call(partial(self._redis.execute, "TIME"))
        members: list[tuple[str, float]] = []
        while len(members) < MAX_SUBJECTS:
            start = max(0, len(members) - _PAGE_OVERLAP)
            read = partial(
                self._redis.execute,
                *("ZREVRANGEBYSCORE", REVOCATIONS, "+inf", now, "WITHSCORES"),
                *("LIMIT", start, _PAGE_SIZE),
            )
            # Members and scores take turns.
            page = iter(await self._calls.call(read))
            members[start:] = [(member.decode(), float(next(page))) for member in page]
            if len(members) - start < _PAGE_SIZE:
                break
        return members, float(now)


def _parse_subject(member: str) -> UUID | None:
    try:
        return UUID(member.removeprefix(RESTORED_PREFIX))
    except ValueError:
        _log.warning("revocation_malformed")
        return None
