"""Stands before a dependency that nothing can replace: a bulkhead and a breaker in one.

Owns how many calls may be under way at a time, and that none is made while the dependency does not
answer. Beyond either the caller is refused at once instead of waiting for a timeout, so that what
is slow holds neither all of a process's requests nor all of its connections. A call that failed while
our own loop stood still says nothing about the dependency and opens nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twelvefold.errors import DependencyUnavailable, Overloaded
from twelvefold.observability import metrics
from twelvefold.observability.loop_lag import LagWatch

from .circuit_breaker import CircuitBreaker

FAILURES = 5  # in a row, after which the dependency counts as away
RETRY_AFTER = 1  # second, as long as the breaker stays open


class Bulkhead:
    """For one dependency in one process. `max_calls` bounds the calls that are under way."""

    def __init__(self, name: str, *, max_calls: int, breaker: CircuitBreaker | None = None) -> None:
        self._name = name
        self._max_calls = max_calls
        self._in_flight = 0
        self._breaker = breaker or CircuitBreaker(name, failures=FAILURES)
        metrics.register_pool(name, max_calls, lambda: self._in_flight)
        for reason in ("unavailable", "full"):
            metrics.dependency_refused.labels(name, reason)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around one call, which raises DependencyUnavailable where nobody answers.

        Any other error is an answer. Raises Overloaded where too many calls are under way,
        DependencyUnavailable at once while the dependency is away.
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
