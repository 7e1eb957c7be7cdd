"""The limit of emails to one recipient that callers without an account can request (CWE-799).

Owns the count by recipient; the edge counts by the caller's address. Emails are counted by purpose,
with or without an account, so that a refusal does not reveal whether the account exists.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from twelvefold.contracts.email_address import email_key
from twelvefold.errors import TooManyRequests
from twelvefold.resilience.local_rate_limiter import RateLimiter, RatePolicy

_WINDOW = 3600  # seconds


@dataclass(frozen=True, slots=True)
class RecipientLimit:
    """Counts in Redis, else in this process. `quota` is per purpose and hour."""

    limiter: RateLimiter
    quota: int

    async def admit(self, purpose: str, email: str) -> None:
        """Count one email. Raises TooManyRequests beyond the quota."""
        # Redis holds no personal address.
        key = hashlib.sha256(email_key(email).encode("utf-8", "replace")).hexdigest()[:32]
        policy = RatePolicy(f"email-{purpose}", self.quota, _WINDOW)
        admission = await self.limiter.admit(key, policy)
        if not admission.admitted:
            raise TooManyRequests(
                "Several such emails were sent to this address. Check its inbox, or try later.",
                retry_after=admission.retry_after,
            )
