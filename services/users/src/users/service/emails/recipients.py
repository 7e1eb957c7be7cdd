"""How many emails an address gets that anybody can have sent to it (CWE-799).

Owns the count by recipient; the edge counts by the caller's address. Emails count by purpose, and
whether or not the address has an account, so that a refusal tells nothing: whoever is refused a
link has been sent one that still counts, or was when they last looked.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from twelvefold.contracts.email_address import email_key
from twelvefold.errors import TooManyRequests
from twelvefold.resilience.rate_limit import RateLimiter, RatePolicy

_WINDOW = 3600  # seconds


@dataclass(frozen=True, slots=True)
class RecipientLimit:
    """Counts in Redis, or in this process while Redis is away. `quota` is per purpose and hour."""

    limiter: RateLimiter
    quota: int

    async def admit(self, purpose: str, email: str) -> None:
        """Counts one email. Raises TooManyRequests beyond the quota."""
        # No address of a person stands in Redis.
        key = hashlib.sha256(email_key(email).encode("utf-8", "replace")).hexdigest()[:32]
        policy = RatePolicy(f"email-{purpose}", self.quota, _WINDOW)
        admission = await self.limiter.admit(key, policy)
        if not admission.admitted:
            raise TooManyRequests(
                "This address was sent several such emails. Look there, or try again later.",
                retry_after=admission.retry_after,
            )
