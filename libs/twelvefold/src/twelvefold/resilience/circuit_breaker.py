"""Circuit breaker and bulkhead: calls to a dependency that fails or is slow are refused at once.

Owns when a dependency is called again and how many calls may be in flight to it. What a caller does
without the dependency is its own decision: a cache reads the database, a `Bulkhead` raises.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from twelvefold.errors import DependencyUnavailable, Overloaded
from twelvefold.observability import metrics
from twelvefold.observability.loop_lag import LagWatch

OPEN_SECONDS = 1.0  # seconds between two probes of an open circuit
MAX_FAILURES = 5  # consecutive failures after which a bulkhead's circuit opens
RETRY_AFTER = 1  # seconds
_log = structlog.get_logger(__name__)


class CircuitBreaker:
    """Skip a dependency for `open_seconds` after `failures` consecutive calls have failed.

    Then one call probes the dependency while the others are still skipped. Clients of one server
    share a breaker, so that a failure that one of them meets opens it for all of them.
    """

    def __init__(self, name: str, *, failures: int = 1, open_seconds: float = OPEN_SECONDS) -> None:
        self.name = name
        self._open_seconds = open_seconds
        self._max_failures = failures
        self._consecutive_failures = 0
        self._open_until: float | None = None

    def allow_call(self) -> bool:
        """Return whether a call may be made.

        Report its result with `record_failure` or `record_success`.
        """
        if self._open_until is None:
            return True
        now = time.monotonic()
        if now < self._open_until:
            metrics.dependency_refused.labels(self.name, "unavailable").inc()
            return False
        # This call is the probe. If it is cancelled, the next one follows `open_seconds` later.
        self._open_until = now + self._open_seconds
        return True

    def record_failure(self, error: Exception) -> None:
        """Count a failed call; open the circuit, or keep it open, once the limit is reached."""
        self._consecutive_failures += 1
        if self._open_until is None:
            if self._consecutive_failures < self._max_failures:
                return
            _log.warning("circuit_breaker_opened", name=self.name, error=type(error).__name__)
        self._open_until = time.monotonic() + self._open_seconds

    def record_success(self) -> None:
        """Close the circuit and start to count failures anew."""
        self._consecutive_failures = 0
        if self._open_until is not None:
            _log.info("circuit_breaker_closed", name=self.name)
            self._open_until = None


class Bulkhead:
    """A cap on concurrent calls to one dependency of one process, with a circuit breaker.

    It serves dependencies without a substitute: a caller gets an error at once instead of a
    timeout, so that a slow dependency holds neither all requests nor all connections of the
    process.
    """

    def __init__(self, name: str, *, max_calls: int, breaker: CircuitBreaker | None = None) -> None:
        self._name = name
        self._max_calls = max_calls
        self._in_flight = 0
        self._breaker = breaker or CircuitBreaker(name, failures=MAX_FAILURES)
        metrics.register_pool(name, max_calls, lambda: self._in_flight)
        for reason in ("unavailable", "full"):
            metrics.dependency_refused.labels(name, reason)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Wrap one call, which raises DependencyUnavailable if the dependency does not answer.

        Any other error of the call is an answer. A call that failed while the event loop was
        stalled says nothing about the dependency and is not counted. Raises Overloaded where
        `max_calls` are in flight, DependencyUnavailable while the circuit is open.
        """
        if self._in_flight >= self._max_calls:
            metrics.dependency_refused.labels(self._name, "full").inc()
            metrics.pool_exhausted.labels(self._name).inc()
            raise Overloaded(
                f"Too many calls to {self._name} are in progress. Try again.",
                retry_after=RETRY_AFTER,
            )
        if not self._breaker.allow_call():
            raise DependencyUnavailable(self._name, retry_after=RETRY_AFTER)
        self._in_flight += 1
        watch = LagWatch()
        try:
            with watch:
                yield
        except DependencyUnavailable as error:
            if not watch.excuses():
                self._breaker.record_failure(error)
            raise
        except Exception:
            self._breaker.record_success()
            raise
        else:
            self._breaker.record_success()
        finally:
            self._in_flight -= 1
