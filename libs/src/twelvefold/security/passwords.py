"""Password hashing: argon2id (RFC 9106) off the event loop, within bounds.

Owns parameters, threads and the queue. Not the rules of a good password (a contract's), not
where hashes are kept. One hash takes about 0.1 s and 64 MiB: `threads` bounds the memory, and a
full queue refuses at once instead of letting logins pile up.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from twelvefold import metrics, spans
from twelvefold.errors import Overloaded

MEMORY = 64 * 1024  # KiB
PASSES = 3
LANES = 1
THREADS = 4
QUEUE = 128  # waiting beyond those being hashed: some seconds of work
_SALT, _HASH = 16, 32  # bytes
_NICENESS = 10  # more than the thread that serves requests
P = ParamSpec("P")
R = TypeVar("R")


class PasswordHasher:
    """Hashes and verifies in `threads` threads, with at most `queue` waiting."""

    def __init__(
        self,
        *,
        memory: int = MEMORY,
        passes: int = PASSES,
        threads: int = THREADS,
        queue: int = QUEUE,
    ) -> None:
        self._argon2 = argon2.PasswordHasher(passes, memory, LANES, _HASH, _SALT)
        # Of the same parameters and of nobody's password: no account costs what one costs.
        self._nobody = (
            f"$argon2id$v=19$m={memory},t={passes},p={LANES}"
            f"${_base64(secrets.token_bytes(_SALT))}${_base64(secrets.token_bytes(_HASH))}"
        )
        self._threads = ThreadPoolExecutor(threads, "argon2", initializer=_yield_to_the_loop)
        self._limit = threads + queue
        self._pending = 0
        self._at_work = 0
        metrics.watch_pool("argon2", threads, lambda: self._at_work)
        metrics.pool_waiting.labels("argon2").set_function(lambda: self._pending - self._at_work)
        self._lock = threading.Lock()

    async def hash(self, password: str) -> str:
        """The encoded hash. Raises Overloaded where the queue is full."""
        with spans.span("password.hash"):
            return await self._run(self._argon2.hash, _bytes(password))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether `password` is the one of `stored`; with None always False, at the same cost.

        Raises Overloaded where the queue is full.
        """
        with spans.span("password.verify"):
            fits = await self._run(self._verify, stored or self._nobody, password)
        return fits and stored is not None

    def needs_rehash(self, stored: str) -> bool:
        """Whether `stored` was made with other parameters than today's."""
        return self._argon2.check_needs_rehash(stored)

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
            if self._pending >= self._limit:
                metrics.pool_exhausted.labels("argon2").inc()
                raise Overloaded("too many passwords are being checked at the moment")
            self._pending += 1
        try:
            future = self._threads.submit(
                self._work, time.perf_counter(), partial(function, *arguments, **named)
            )
        except RuntimeError:  # shut down
            self._ended()
            raise Overloaded("this process is stopping") from None
        # Told by the thread, not by the waiting task: a caller that went away frees nothing yet.
        future.add_done_callback(self._ended)
        return await asyncio.wrap_future(future)

    def _work(self, since: float, function: Callable[[], R]) -> R:
        """In a thread of the pool, once it is the turn of this one."""
        metrics.pool_wait.labels("argon2").observe(time.perf_counter() - since)
        with self._lock:
            self._at_work += 1
        try:
            return function()
        finally:
            with self._lock:
                self._at_work -= 1

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
