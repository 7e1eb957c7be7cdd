"""Shares of accounts and addresses in a process's event streams, so that no group takes them all.

Owns the places and their shares; `event_stream` owns the streams.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

from twelvefold.errors import Overloaded, TooManyRequests
from twelvefold.observability import metrics

T = TypeVar("T")

MAX_PER_ACCOUNT = 20
ACCOUNT_SHARE = 8  # one account holds at most an eighth of what is free,
ADDRESS_SHARE = 3  # one address (IPv6: one /64) at most a third, and each at least one
RETRY_AFTER = 5  # seconds
POOL = "event_streams"


class StreamPlaces:
    """`capacity` places. A share is of the free places, not of all: the fewer are free, the fewer
    each account and address may hold, so that some stay free for clients without one. Of 200
    places one account gets 20, one address 50 with any number of accounts, and ten of either leave
    some free.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._accounts: Counter[UUID] = Counter()
        self._addresses: Counter[str] = Counter()
        metrics.register_pool(POOL, capacity, lambda: self.taken)

    @property
    def taken(self) -> int:
        return self._accounts.total()

    @contextmanager
    def hold(self, account: UUID, address: str) -> Iterator[None]:
        """Hold a place for the context; `address` is a client key.

        Raises Overloaded where none is free, TooManyRequests where the account or the address
        holds its share.
        """
        free = self._capacity - self.taken
        if free <= 0:
            metrics.pool_exhausted.labels(POOL).inc()
            raise Overloaded(
                "Too many event streams are open. Try again later.", retry_after=RETRY_AFTER
            )
        own = min(MAX_PER_ACCOUNT, max(1, free // ACCOUNT_SHARE))
        if self._accounts[account] >= own:
            raise TooManyRequests(
                "You have too many open event streams. Close one first.", retry_after=RETRY_AFTER
            )
        if self._addresses[address] >= max(1, free // ADDRESS_SHARE):
            raise TooManyRequests(
                "Your address has too many open event streams. Close one first.",
                retry_after=RETRY_AFTER,
            )
        self._accounts[account] += 1
        self._addresses[address] += 1
        try:
            yield
        finally:
            _release(self._accounts, account)
            _release(self._addresses, address)


def _release(counts: Counter[T], key: T) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
