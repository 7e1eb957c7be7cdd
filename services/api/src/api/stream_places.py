"""Who may hold how many of a process's event streams, so that no group takes them all.

Owns the places and their shares. What is sent on a stream belongs to `event_stream`.
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
    """`most` places. A share is of the places that are still free, not of all: the fuller it gets,
    the less each may hold, so that some stay free for whoever has none. Of 200 places one account
    gets 20, one address 50 with however many accounts, and ten of either leave some free.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._accounts: Counter[UUID] = Counter()
        self._addresses: Counter[str] = Counter()
        metrics.register_pool(POOL, most, lambda: self.taken)

    @property
    def taken(self) -> int:
        return self._accounts.total()

    @contextmanager
    def hold(self, account: UUID, address: str) -> Iterator[None]:
        """Holds a place; `address` is a client's key.

        Raises Overloaded where none is free, TooManyRequests where the account or the address
        holds its share.
        """
        free = self._most - self.taken
        if free <= 0:
            metrics.pool_exhausted.labels(POOL).inc()
            raise Overloaded("too many event streams are open", retry_after=RETRY_AFTER)
        own = min(MAX_PER_ACCOUNT, max(1, free // ACCOUNT_SHARE))
        if self._accounts[account] >= own:
            raise TooManyRequests("you have too many event streams open", retry_after=RETRY_AFTER)
        if self._addresses[address] >= max(1, free // ADDRESS_SHARE):
            raise TooManyRequests(
                "too many event streams are open from your address", retry_after=RETRY_AFTER
            )
        self._accounts[account] += 1
        self._addresses[address] += 1
        try:
            yield
        finally:
            _give_back(self._accounts, account)
            _give_back(self._addresses, address)


def _give_back(counts: Counter[T], key: T) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
