"""Decisions of a rate limiter, and the limiter within one process.

The generic cell rate algorithm (ITU-T I.371) keeps one number per key: the theoretical arrival
time. `rate_limit` holds the limiter that all processes share.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_MICROSECONDS = 1_000_000
_MAX_LOCAL_KEYS = 10_000  # most recent keys that the limiter remembers


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """A limit of `quota` requests in `window` seconds, under a name that clients see."""

    name: str
    quota: int
    window: int

    @property
    def interval(self) -> int:
        """The microseconds between two admissions at the even rate."""
        return self.window * _MICROSECONDS // self.quota


@dataclass(frozen=True, slots=True)
class Admission:
    """The decision on one request. Times are in seconds, rounded up.

    `marks` are the values of the revocation keys; `local` says that Redis was not asked.
    """

    policy: RatePolicy
    admitted: bool
    remaining: int
    retry_after: int
    reset_after: int
    marks: tuple[str, ...] = ()
    local: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """The fields of draft-ietf-httpapi-ratelimit-headers, and Retry-After on a refusal."""
        name = f'"{self.policy.name}"'
        fields = {
            "RateLimit-Policy": f"{name};q={self.policy.quota};w={self.policy.window}",
            "RateLimit": f"{name};r={self.remaining};t={self.reset_after}",
        }
        if not self.admitted:
            fields["Retry-After"] = str(max(1, self.retry_after))
        return fields


def to_seconds(microseconds: float) -> int:
    """Return whole seconds, rounded up."""
    return -int(-microseconds // _MICROSECONDS)


class RateLimiter(Protocol):
    """A limiter of requests by key and policy."""

    async def admit(
        self, key: str, policy: RatePolicy, revocation_keys: Sequence[str] = ()
    ) -> Admission:
        """Count one request of `key` and read the values of `revocation_keys`.

        Raises LoopStalled where the event loop was stalled for so long that Redis was not reached.
        """

    async def reset(self, key: str, *policies: RatePolicy) -> None:
        """Restore the full quota of `key`; best effort while Redis is unavailable."""


class LocalRateLimiter:
    """GCRA in memory of one process, over the most recent 10,000 keys. Reads no marks."""

    def __init__(self) -> None:
        self._arrivals: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def admit(
        self, key: str, policy: RatePolicy, revocation_keys: Sequence[str] = ()
    ) -> Admission:
        # Whole numbers: a rounding error could refuse the first request of a key.
        now = time.monotonic_ns() // 1000
        bucket = (policy.name, key)
        arrival = max(self._arrivals.get(bucket, 0), now)
        following = arrival + policy.interval
        wait = following - policy.quota * policy.interval - now
        if wait > 0:
            return Admission(
                policy, False, 0, to_seconds(wait), to_seconds(arrival - now), local=True
            )
        self._arrivals[bucket] = following
        self._arrivals.move_to_end(bucket)
        if len(self._arrivals) > _MAX_LOCAL_KEYS:
            self._arrivals.popitem(last=False)
        remaining = int(-wait // policy.interval)
        return Admission(policy, True, remaining, 0, to_seconds(following - now), local=True)

    async def reset(self, key: str, *policies: RatePolicy) -> None:
        for policy in policies:
            self._arrivals.pop((policy.name, key), None)
