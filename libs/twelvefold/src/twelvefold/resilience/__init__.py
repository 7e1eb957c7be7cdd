"""Protection against dependencies that fail and clients that send too many requests.

Owns circuit breaker, bulkhead and rate limiter. Retries of a transaction belong to `database`.
"""

from typing import TYPE_CHECKING

from twelvefold.public_names import import_on_use

if TYPE_CHECKING:
    from .circuit_breaker import Bulkhead as Bulkhead
    from .circuit_breaker import CircuitBreaker as CircuitBreaker
    from .local_rate_limiter import Admission as Admission
    from .local_rate_limiter import LocalRateLimiter as LocalRateLimiter
    from .local_rate_limiter import RateLimiter as RateLimiter
    from .local_rate_limiter import RatePolicy as RatePolicy
    from .rate_limit import RedisRateLimiter as RedisRateLimiter

_HOMES = {
    "Admission": "local_rate_limiter",
    "Bulkhead": "circuit_breaker",
    "CircuitBreaker": "circuit_breaker",
    "LocalRateLimiter": "local_rate_limiter",
    "RateLimiter": "local_rate_limiter",
    "RatePolicy": "local_rate_limiter",
    "RedisRateLimiter": "rate_limit",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 (a single list of names)
__getattr__ = import_on_use(__name__, _HOMES)
