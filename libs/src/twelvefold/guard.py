"""Stands before a dependency that nothing can replace: a bulkhead and a breaker in one.

Owns how many calls may be under way at a time, and that none is made while the dependency does not
answer. Beyond either the caller is refused at once instead of waiting for a timeout, so that what
is slow holds neither all of a process's requests nor all of its connections. A call that failed while
our own loop stood still says nothing about the dependency and opens nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from . import metrics
from .breaker import Breaker
from .errors import DependencyUnavailable, Overloaded
from .loop_lag import LagWatch

FAILURES = 5  # in a row, after which the dependency counts as away
RETRY_AFTER = 1  # second, as long as the breaker stays open


class Guard:
    """For one dependency in one process. `most` bounds the calls that are under way."""

    def __init__(self, name: str, *, most: int, breaker: Breaker | None = None) -> None:
        self._name = name
        self._most = most
        self._under_way = 0
        self._breaker = breaker or Breaker(name, failures=FAILURES)
        metrics.watch_pool(name, most, lambda: self._under_way)
        for reason in ("away", "full"):
            metrics.dependency_refused.labels(name, reason)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around one call, which raises DependencyUnavailable where nobody answers.

        Any other error is an answer. Raises Overloaded where too many calls are under way,
        DependencyUnavailable at once while the dependency is away.
        """
        if self._under_way >= self._most:
            metrics.dependency_refused.labels(self._name, "full").inc()
            metrics.pool_exhausted.labels(self._name).inc()
            raise Overloaded(f"too much waits for {self._name}", retry_after=RETRY_AFTER)
        if not self._breaker.allows():
            raise DependencyUnavailable(self._name, retry_after=RETRY_AFTER)
        self._under_way += 1
        watch = LagWatch()
        try:
            with watch:
                yield
        except DependencyUnavailable as error:
            if not watch.excuses():
                self._breaker.failed(error)
            raise
        except Exception:
            self._breaker.succeeded()
            raise
        else:
            self._breaker.succeeded()
        finally:
            self._under_way -= 1
