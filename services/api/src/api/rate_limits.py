"""The rate limits of the edge.

Owns the policies, the key that a request is counted by, and the header fields of every limited
response. `twelvefold.resilience.rate_limit` does the counting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from api.settings import ApiSettings
from twelvefold.context import current_request
from twelvefold.errors import TooManyRequests
from twelvefold.observability import metrics
from twelvefold.resilience.rate_limit import Admission, RateLimiter, RatePolicy
from twelvefold.security.principals import Principal

WINDOW = 60  # seconds
_REFUSED = metrics.http_requests_refused.labels("rate")


class RateLimitName(StrEnum):
    """The names of the policies, as clients see them in RateLimit-Policy."""

    ANONYMOUS = "anonymous"  # by address
    USER = "user"  # by account
    ADMIN = "admin"  # by account
    CREDENTIALS = "credentials"  # requests that allow guessing a secret
    REGISTRATION = "registration"  # which reveals whether an address has an account
    MAIL = "mail"  # requests that send email to an address of the caller's choice


class RateLimits:
    """Counts requests. `quotas` are per minute; a burst may use a whole quota."""

    def __init__(self, limiter: RateLimiter, quotas: Mapping[RateLimitName, int]) -> None:
        self._limiter = limiter
        for name in RateLimitName:
            metrics.rate_limit_refused.labels(name.value)
        self._policies = {
            name: RatePolicy(name.value, quotas[name], WINDOW) for name in RateLimitName
        }

    async def count(
        self, limit: RateLimitName, key: str, revocation_keys: Sequence[str] = ()
    ) -> Admission:
        """Count one request and set the response headers of the limit. Refuses nothing."""
        admission = await self._limiter.admit(key, self._policies[limit], revocation_keys)
        if admission.local:
            metrics.rate_limit_local.inc()
        if context := current_request():
            # A request that is counted twice shows the last admission.
            context.response_headers[:] = [
                (name.lower().encode(), value.encode())
                for name, value in admission.headers.items()
                if name != "Retry-After"  # the error's own header
            ]
        return admission

    async def require(self, limit: RateLimitName, key: str) -> None:
        """Count one request. Raises TooManyRequests beyond the quota."""
        refuse_beyond(await self.count(limit, key))


def quotas_of(settings: ApiSettings) -> dict[RateLimitName, int]:
    """Return the requests per minute, by policy."""
    return {limit: getattr(settings, f"rate_limit_{limit.value}") for limit in RateLimitName}


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
