"""How often whom: the rate limits of the edge, by policy and by who asks.

Owns the policies, whose bucket a request counts in, and the header fields of every limited answer.
The counting itself is `twelvefold.resilience.rate_limit`'s.
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
    CREDENTIALS = "credentials"  # where a secret can be guessed
    REGISTRATION = "registration"  # which tells whether an address has an account
    MAIL = "mail"  # what sends mail to an address that the caller names


class RateLimits:
    """Counts requests. `quotas` are per minute; a burst may use a whole one."""

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
        """Counts one request and tells the client where it stands. Refuses nothing."""
        admission = await self._limiter.admit(key, self._policies[limit], revocation_keys)
        if admission.local:
            metrics.rate_limit_local.inc()
        if context := current_request():
            # A request that counts twice tells of the last one.
            context.response_headers[:] = [
                (name.lower().encode(), value.encode())
                for name, value in admission.headers.items()
                if name != "Retry-After"  # the refusal's own
            ]
        return admission

    async def require(self, limit: RateLimitName, key: str) -> None:
        """Counts one request. Raises TooManyRequests beyond the quota."""
        refuse_beyond(await self.count(limit, key))


def quotas_of(settings: ApiSettings) -> dict[RateLimitName, int]:
    """Requests a minute, by policy."""
    return {limit: getattr(settings, f"rate_limit_{limit.value}") for limit in RateLimitName}


def refuse_beyond(admission: Admission) -> None:
    """Raises TooManyRequests where the quota is used up."""
    if not admission.admitted:
        _REFUSED.inc()
        metrics.rate_limit_refused.labels(admission.policy.name).inc()
        raise TooManyRequests(
            f"the quota of {admission.policy.quota} requests a minute is used up",
            retry_after=admission.retry_after,
        )


def limit_of(principal: Principal) -> RateLimitName:
    """The policy of a caller's ordinary requests."""
    return RateLimitName.ADMIN if principal.is_admin else RateLimitName.USER
