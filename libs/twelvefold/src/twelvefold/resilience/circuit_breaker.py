"""Circuit breaker and bulkhead: bounds on the calls to a dependency that fails or is slow.

Owns when a dependency is called again and how many calls may be in flight to it. What a caller does
without the dependency is its own decision: a cache reads the database, a `Bulkhead` raises.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog

from twelvefold.errors import DependencyUnavailable, Overloaded
from twelvefold.observability import metrics
from twelvefold.observability.loop_lag import LagWatch

from .admission import MAX_WAITING, AdmissionQueue

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

    It serves dependencies without a substitute: a slow dependency holds neither all requests nor
    all connections of the process. Calls over the cap wait in order for at most `max_wait` seconds;
    by default they are refused at once.
    """

    def __init__(
        self,
        name: str,
        *,
        max_calls: int,
        max_wait: float = 0.0,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self._name = name
        self._breaker = breaker or CircuitBreaker(name, failures=MAX_FAILURES)
        self._slots = AdmissionQueue(
            name,
            slots=max_calls,
            max_wait=max_wait,
            max_waiting=MAX_WAITING if max_wait else 0,
            refusal=f"Too many calls to {name} are in progress. Try again.",
        )
        for reason in ("unavailable", "full"):
            metrics.dependency_refused.labels(name, reason)

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Wrap one call, which raises DependencyUnavailable if the dependency does not answer.

        Any other error of the call is an answer. A call that failed while the event loop was
        stalled says nothing about the dependency and is not counted. Raises Overloaded where
        `max_calls` are in flight for too long, DependencyUnavailable while the circuit is open.
        """
        if not self._slots.enter():
            try:
                await self._slots.wait()
            except Overloaded:
                metrics.dependency_refused.labels(self._name, "full").inc()
                raise
        try:
            if not self._breaker.allow_call():
                raise DependencyUnavailable(self._name, retry_after=RETRY_AFTER)
            with self._observe():
                yield
        finally:
            self._slots.leave()

    @contextmanager
    def _observe(self) -> Iterator[None]:
        """Report the result of the block to the circuit breaker."""
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
