"""Throttling of password guesses without locking accounts (OWASP ASVS 5.0, 6.3.1).

Each pair of account and address has a quota of wrong passwords. Where many addresses guess the
password of one account, the quota of each address shrinks, while the owner can still log in from
another address. A right password resets the quota of its pair. Unknown accounts are counted in the
same way: keys are hashes of the username.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from twelvefold.errors import TooManyRequests
from twelvefold.resilience.local_rate_limiter import RateLimiter, RatePolicy
from twelvefold.security.client_key import client_key

_WINDOW = 900  # seconds


@dataclass(frozen=True, slots=True)
class Quotas:
    """Attempts in 15 minutes."""

    pair: int = 20  # of one account from one address
    account: int = 100  # of one account from all addresses, before `suspect` applies
    suspect: int = 3  # as `pair`, while the account is beyond its quota


@dataclass(frozen=True, slots=True)
class Attempt:
    """One admitted attempt, and the key of its quota."""

    key: str


@dataclass(frozen=True, slots=True)
class LoginThrottle:
    """Counts attempts in Redis, or in this process while Redis is unavailable."""

    limiter: RateLimiter
    quotas: Quotas = field(default_factory=Quotas)

    async def admit(self, account: str, address: str | None) -> Attempt:
        """Count an attempt before the expensive hash. Raises TooManyRequests.

        `address` is the client's; None where the caller is logged in to the account.
        """
        key = _hash(account, "" if address is None else client_key(address))
        policies = [self._pair]
        wide = RatePolicy("login-account", self.quotas.account, _WINDOW)
        if not (await self.limiter.admit(_hash(account), wide)).admitted:
            policies.append(self._suspect)
        for policy in policies:
            admission = await self.limiter.admit(key, policy)
            if not admission.admitted:
                raise TooManyRequests(
                    "Too many wrong passwords. Try again later.", retry_after=admission.retry_after
                )
        return Attempt(key)

    async def record_success(self, attempt: Attempt) -> None:
        """Reset the quota of the pair after a right password."""
        await self.limiter.reset(attempt.key, self._pair, self._suspect)

    @property
    def _pair(self) -> RatePolicy:
        return RatePolicy("login", self.quotas.pair, _WINDOW)

    @property
    def _suspect(self) -> RatePolicy:
        return RatePolicy("login-suspect", self.quotas.suspect, _WINDOW)


def _hash(*parts: str) -> str:
    """Return the key: Redis holds no personal address."""
    joined = "\0".join(parts).encode("utf-8", "replace")
    return hashlib.sha256(joined).hexdigest()[:32]
