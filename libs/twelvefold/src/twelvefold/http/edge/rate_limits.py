"""The rate limits of the edge.

Owns the policies, the key that a request is counted by, and the header fields of every limited
response. `twelvefold.resilience` does the counting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from twelvefold.context import current_request
from twelvefold.errors import TooManyRequests
from twelvefold.observability import metrics
from twelvefold.resilience.local_rate_limiter import (
    Admission,
    LocalRateLimiter,
    RateLimiter,
    RatePolicy,
)
from twelvefold.security.principals import Principal
from twelvefold.settings import RateLimitSettings

WINDOW = 60  # seconds
_REFUSED = metrics.http_requests_refused.labels("rate")


class RateLimitName(StrEnum):
    """The policies that each edge has, by their names in RateLimit-Policy."""

    ANONYMOUS = "anonymous"  # by address
    USER = "user"  # by account
    ADMIN = "admin"  # by account


class RateLimits:
    """Counts requests. `quotas` are per minute, by policy; a burst may use a whole quota."""

    def __init__(self, limiter: RateLimiter, quotas: Mapping[str, int]) -> None:
        self._limiter = limiter
        self._in_process = LocalRateLimiter()
        self._policies = {name: RatePolicy(name, quota, WINDOW) for name, quota in quotas.items()}
        for name in self._policies:
            metrics.rate_limit_refused.labels(name)

    async def count(self, limit: str, key: str, revocation_keys: Sequence[str] = ()) -> Admission:
        """Count one request and set the response headers of the limit. Refuses nothing."""
        admission = await self._limiter.admit(key, self._policies[limit], revocation_keys)
        if admission.local:
            metrics.rate_limit_local.inc()
        _set_headers(admission)
        return admission

    async def require(self, limit: str, key: str) -> None:
        """Count one request. Raises TooManyRequests beyond the quota."""
        refuse_beyond(await self.count(limit, key))

    async def require_in_process(self, limit: str, key: str) -> None:
        """Count one request in this process alone, for responses that cost less than a round trip.

        A client gets at most the quota from each process. Raises TooManyRequests beyond it.
        """
        admission = await self._in_process.admit(key, self._policies[limit])
        _set_headers(admission)
        refuse_beyond(admission)


def _set_headers(admission: Admission) -> None:
    if context := current_request():
        # A request that is counted twice shows the last admission.
        context.response_headers[:] = [
            (name.lower().encode(), value.encode())
            for name, value in admission.headers.items()
            if name != "Retry-After"  # the error's own header
        ]


def quotas_of(settings: RateLimitSettings, names: Iterable[str]) -> dict[str, int]:
    """Return the requests per minute by policy, each from its setting RATE_LIMIT_<NAME>."""
    return {str(name): getattr(settings, f"rate_limit_{name}") for name in names}


def refuse_beyond(admission: Admission) -> None:
    """Raise TooManyRequests where the quota is exceeded."""
    if not admission.admitted:
        _REFUSED.inc()
        metrics.rate_limit_refused.labels(admission.policy.name).inc()
        raise TooManyRequests(
            f"The quota of {admission.policy.quota} requests per minute is used up.",
            retry_after=admission.retry_after,
        )


def limit_of(principal: Principal) -> RateLimitName:
    """Return the policy of a caller's ordinary requests."""
    return RateLimitName.ADMIN if principal.is_admin else RateLimitName.USER
