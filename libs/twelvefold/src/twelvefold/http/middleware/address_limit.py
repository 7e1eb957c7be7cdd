"""A limit by client address for what no route's own policy covers: unknown paths, wrong methods, docs.

Counted in this process alone: an answer that is known beforehand must not cost a round trip. Owns
that limit; the policies of routes are the service's.
"""

from __future__ import annotations

from starlette.types import Scope

from twelvefold.errors import TooManyRequests
from twelvefold.observability import metrics
from twelvefold.resilience.rate_limit import LocalRateLimiter, RatePolicy
from twelvefold.security.client_key import client_key

NAME = "unrouted"
WINDOW = 60  # seconds


class AddressLimit:
    """At most `quota` requests a minute of one client, in this process."""

    def __init__(self, quota: int) -> None:
        self._policy = RatePolicy(NAME, quota, WINDOW)
        self._limiter = LocalRateLimiter()
        self._refused = metrics.rate_limit_refused.labels(NAME)

    async def admit(self, scope: Scope) -> None:
        """Counts one request. Raises TooManyRequests."""
        client = scope.get("client")
        admission = await self._limiter.admit(client_key(client and client[0]), self._policy)
        if admission.admitted:
            return
        metrics.http_requests_refused.labels("rate").inc()
        self._refused.inc()
        raise TooManyRequests(
            f"the quota of {self._policy.quota} requests a minute is used up",
            retry_after=admission.retry_after,
        )
