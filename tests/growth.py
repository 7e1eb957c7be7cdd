"""How the work of a function grows with the length of its text."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_MIN_SECONDS = 0.0003  # of the shortest measurement: hundreds of steps of the clock
_MAX_LENGTH = 100_000  # at which work that is done at once is believed
_TRIES = 10
_MAX_RATIO = 3  # of the times at 2n and n: 2 is linear, 4 is quadratic


def is_linear(work: Callable[[T], object], text: Callable[[int], T]) -> bool:
    """Whether twice the text takes about twice the time; `text` makes one of a length.

    Processor time, so that others on the machine do not count. A busy machine may disturb one
    measurement; what is quadratic is so each time.
    """
    return any(max(_ratios(work, text)) < _MAX_RATIO for _ in range(_TRIES))


def _ratios(work: Callable[[T], object], text: Callable[[int], T]) -> tuple[float, float]:
    """Return by how much the time grows from n to 2n, and from there to 4n."""
    length = 1_000
    while _seconds(work, text(length), repeats=1) < _MIN_SECONDS:
        if length > _MAX_LENGTH:
            return 1, 1
        length *= 2
    times = [_seconds(work, text(length * factor)) for factor in (1, 2, 4)]
    return times[1] / times[0], times[2] / times[1]


def _seconds(work: Callable[[T], object], text: T, repeats: int = 5) -> float:
    """Return the processor time of the fastest of several runs."""
    best = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        work(text)
        best = min(best, time.process_time() - started)
    return best
