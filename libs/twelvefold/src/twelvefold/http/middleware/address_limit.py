"""A rate limit by client address for requests without a route's policy.

These are unknown paths, wrong methods and the documentation. Requests are counted in this process
alone, since a fixed response should not cost a round trip to Redis. The policies of routes belong
to the service.
"""

from __future__ import annotations

from starlette.types import Scope

from twelvefold.errors import TooManyRequests
from twelvefold.observability import metrics
from twelvefold.resilience.local_rate_limiter import LocalRateLimiter, RatePolicy
from twelvefold.security.client_key import client_key

NAME = "unrouted"
WINDOW = 60  # seconds


class AddressLimit:
    """A limit of `quota` requests per minute of one client, in this process."""

    def __init__(self, quota: int) -> None:
        self._policy = RatePolicy(NAME, quota, WINDOW)
        self._limiter = LocalRateLimiter()
        self._refused = metrics.rate_limit_refused.labels(NAME)

    async def admit(self, scope: Scope) -> None:
        """Count one request. Raises TooManyRequests where the quota is used up."""
        client = scope.get("client")
        admission = await self._limiter.admit(client_key(client and client[0]), self._policy)
        if admission.admitted:
            return
        metrics.http_requests_refused.labels("rate").inc()
        self._refused.inc()
        raise TooManyRequests(
            f"The quota of {self._policy.quota} requests per minute is used up.",
            retry_after=admission.retry_after,
        )
