"""Slowing down whoever guesses passwords, without locking anybody out (OWASP ASVS 5.0, 6.3.1).

Each pair of account and address has a quota of wrong guesses. Where many addresses guess at one
account, the quota of each of them shrinks, so that they gain little by being many, while its owner
still gets in from elsewhere. A right password gives the quota of its pair back. Accounts that do
not exist are counted alike: keys are hashes of what was typed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from twelvefold.errors import TooManyRequests
from twelvefold.resilience.rate_limit import RateLimiter, RatePolicy
from twelvefold.security.client_key import client_key

_WINDOW = 900  # seconds


@dataclass(frozen=True, slots=True)
class Quotas:
    """Guesses in a quarter of an hour."""

    pair: int = 20  # of one account from one address
    account: int = 100  # of one account from everywhere, before `suspect` counts
    suspect: int = 3  # as `pair`, while more than that come


@dataclass(frozen=True, slots=True)
class Attempt:
    """One guess that was admitted, and whose quota it took from."""

    key: str


@dataclass(frozen=True, slots=True)
class LoginThrottle:
    """Counts guesses in Redis, or in this process while Redis is away."""

    limiter: RateLimiter
    quotas: Quotas = field(default_factory=Quotas)

    async def admit(self, account: str, address: str | None) -> Attempt:
        """Counts a guess, before the work of a hash. Raises TooManyRequests.

        `address` is the client's; None where only the account can guess (its own password).
        """
        key = _hashed(account, "" if address is None else client_key(address))
        policies = [self._pair]
        wide = RatePolicy("login-account", self.quotas.account, _WINDOW)
        if not (await self.limiter.admit(_hashed(account), wide)).admitted:
            policies.append(self._suspect)
        for policy in policies:
            admission = await self.limiter.admit(key, policy)
            if not admission.admitted:
                raise TooManyRequests(
                    "too many wrong passwords: try again later", retry_after=admission.retry_after
                )
        return Attempt(key)

    async def succeeded(self, attempt: Attempt) -> None:
        """The password was right: the pair's quota is whole again."""
        await self.limiter.reset(attempt.key, self._pair, self._suspect)

    @property
    def _pair(self) -> RatePolicy:
        return RatePolicy("login", self.quotas.pair, _WINDOW)

    @property
    def _suspect(self) -> RatePolicy:
        return RatePolicy("login-suspect", self.quotas.suspect, _WINDOW)


def _hashed(*parts: str) -> str:
    """No address of a person stands in Redis."""
    joined = "\0".join(parts).encode("utf-8", "replace")
    return hashlib.sha256(joined).hexdigest()[:32]
