"""Password hashing: argon2id (RFC 9106) off the event loop, within bounds.

Owns parameters, threads and the queue. Not the rules of a good password (a contract's), not
where hashes are kept. One hash takes about 0.1 s and 64 MiB: `threads` bounds the memory. Who
would have to wait for longer than anybody goes on listening is refused at once: a queue beyond its
callers' patience does all of its work for nobody.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import math
import os
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum
from functools import partial
from typing import ParamSpec, TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from twelvefold.context import current_request
from twelvefold.contracts.text import normalize_password
from twelvefold.errors import Overloaded
from twelvefold.observability import metrics, spans

MEMORY = 64 * 1024  # KiB
PASSES = 3
LANES = 1
THREADS = 4
QUEUE = 128  # waiting beyond those being hashed
WAIT = 2.0  # seconds in the queue, as far as can be told from what the last ones took
_SMOOTHING = 0.2  # weight of the newest in the average of what one takes
_SALT, _HASH = 16, 32  # bytes
_BUSY = "Too many password checks are in progress. Try again later."
_NICENESS = 10  # more than the thread that serves requests
P = ParamSpec("P")
R = TypeVar("R")


class PasswordCheck(Enum):
    """What a stored hash says of a password; true unless it is the wrong one."""

    WRONG = "wrong"
    RIGHT = "right"
    OUTDATED = "outdated"  # right, but its hash was made in another way than today's

    def __bool__(self) -> bool:
        return self is not PasswordCheck.WRONG

    @property
    def is_outdated(self) -> bool:
        return self is PasswordCheck.OUTDATED


class PasswordHasher:
    """Hashes and verifies in `threads` threads; at most `queue` wait, none for over `wait` s."""

    def __init__(
        self,
        *,
        memory: int = MEMORY,
        passes: int = PASSES,
        threads: int = THREADS,
        queue: int = QUEUE,
        wait: float = WAIT,
    ) -> None:
        self._argon2 = argon2.PasswordHasher(passes, memory, LANES, _HASH, _SALT)
        # Of the same parameters and of nobody's password: no account costs what one costs.
        self._nobody = (
            f"$argon2id$v=19$m={memory},t={passes},p={LANES}"
            f"${_base64(secrets.token_bytes(_SALT))}${_base64(secrets.token_bytes(_HASH))}"
        )
        self._threads = ThreadPoolExecutor(threads, "argon2", initializer=_yield_to_the_loop)
        self._size = threads
        self._limit = threads + queue
        self._wait = wait
        self._seconds = 0.0  # that one takes, on average
        self._pending = 0
        self._at_work = 0
        metrics.register_pool("argon2", threads, lambda: self._at_work)
        metrics.pool_waiting.labels("argon2").set_function(lambda: self._pending - self._at_work)
        self._lock = threading.Lock()

    async def hash(self, password: str) -> str:
        """The encoded hash of the normalised password (`text.normalize_password`).

        Raises Overloaded where the queue is full or too slow.
        """
        with spans.span("password.hash"):
            return await self._run(self._argon2.hash, _bytes(normalize_password(password)))

    async def verify(self, password: str, stored: str | None) -> PasswordCheck:
        """Whether `password` is the one of `stored`; with None never, at the same cost.

        The first releases hashed passwords as they were given, so one that normalising changes is
        tried in that form, too. Raises Overloaded where the queue is full or too slow.
        """
        normalized = normalize_password(password)
        encoded = stored or self._nobody
        with spans.span("password.verify"):
            fits = await self._run(self._verify, encoded, normalized)
            as_given = not fits and normalized != password
            if as_given:
                fits = await self._run(self._verify, encoded, password)
        if not fits or stored is None:
            return PasswordCheck.WRONG
        if as_given or self._argon2.check_needs_rehash(stored):
            return PasswordCheck.OUTDATED
        return PasswordCheck.RIGHT

    async def aclose(self) -> None:
        """Refuses what waits; what is being hashed ends by itself within a fraction of a second."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._argon2.verify(stored, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, function: Callable[P, R], /, *arguments: P.args, **named: P.kwargs) -> R:
        with self._lock:
            expected = max(0, self._pending + 1 - self._size) / self._size * self._seconds
            if self._pending >= self._limit or expected > self._wait:
                metrics.pool_exhausted.labels("argon2").inc()
                raise Overloaded(_BUSY, retry_after=math.ceil(expected))
            self._pending += 1
        request = current_request()
        deadline = request.deadline if request else None
        try:
            future = self._threads.submit(
                self._work, time.perf_counter(), deadline, partial(function, *arguments, **named)
            )
        except RuntimeError:  # shut down
            self._ended()
            raise Overloaded("this process is stopping") from None
        # Told by the thread, not by the waiting task: a caller that went away frees nothing yet.
        future.add_done_callback(self._ended)
        return await asyncio.wrap_future(future)

    def _work(self, since: float, deadline: float | None, function: Callable[[], R]) -> R:
        """In a thread of the pool, once it is the turn of this one."""
        began = time.perf_counter()
        metrics.pool_wait.labels("argon2").observe(began - since)
        if deadline is not None and time.monotonic() > deadline:
            raise Overloaded(_BUSY)  # nobody waits for it any more
        with self._lock:
            self._at_work += 1
        try:
            return function()
        finally:
            took = time.perf_counter() - began
            with self._lock:
                self._at_work -= 1
                self._seconds += _SMOOTHING * (took - self._seconds)

    def _ended(self, _: Future[R] | None = None) -> None:
        with self._lock:
            self._pending -= 1


def _yield_to_the_loop() -> None:
    """Hashing takes whole cores; the thread that serves requests goes first.

    On Linux niceness is per thread; elsewhere the scheduler decides.
    """
    thread = threading.get_native_id()
    with contextlib.suppress(OSError, AttributeError):
        niceness = os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS
        os.setpriority(os.PRIO_PROCESS, thread, niceness)


def _bytes(password: str) -> bytes:
    # Half characters, which UTF-8 lacks, fit no stored password; that is no error of ours.
    return password.encode("utf-8", "surrogatepass")


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).rstrip(b"=").decode()
