"""Password hashing: argon2id (RFC 9106) outside the event loop, with a bounded queue.

Owns parameters and threads; the rules of a good password are in `contracts`. One hash takes about
0.1 s and 64 MiB, so that `threads` bounds the memory. A call that would wait for longer than its
client does is refused at once, since its result would be thrown away.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import secrets
import threading
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
from twelvefold.observability import spans
from twelvefold.resilience.admission import AdmissionQueue

MEMORY_KIB = 64 * 1024
PASSES = 3
LANES = 1
THREADS = 4
MAX_QUEUED = 128  # calls that wait, beyond those being hashed
MAX_WAIT = 4.0  # seconds in the queue
TARGET = 1.0  # seconds in a queue that stands
_SALT_BYTES, _HASH_BYTES = 16, 32
_BUSY = "Too many password checks are in progress. Try again later."
_NICENESS = 10  # added to that of the thread that serves requests
P = ParamSpec("P")
R = TypeVar("R")


class PasswordCheck(Enum):
    """The result of comparing a password with a stored hash; true unless WRONG."""

    WRONG = "wrong"
    RIGHT = "right"
    OUTDATED = "outdated"  # right, but the hash was made with former parameters or normalization

    def __bool__(self) -> bool:
        return self is not PasswordCheck.WRONG

    @property
    def is_outdated(self) -> bool:
        return self is PasswordCheck.OUTDATED


class PasswordHasher:
    """Hash and verify in `threads` threads; at most `queue` calls wait, none for over `wait` s.

    `memory` is in KiB per hash.
    """

    def __init__(
        self,
        *,
        memory: int = MEMORY_KIB,
        passes: int = PASSES,
        threads: int = THREADS,
        queue: int = MAX_QUEUED,
        wait: float = MAX_WAIT,
    ) -> None:
        self._argon2 = argon2.PasswordHasher(passes, memory, LANES, _HASH_BYTES, _SALT_BYTES)
        # A hash of no password with the same parameters: verifying a password for an account that
        # does not exist takes as long as for one that does.
        self._dummy_hash = (
            f"$argon2id$v=19$m={memory},t={passes},p={LANES}"
            f"${_encode(secrets.token_bytes(_SALT_BYTES))}"
            f"${_encode(secrets.token_bytes(_HASH_BYTES))}"
        )
        self._threads = ThreadPoolExecutor(threads, "argon2", initializer=_lower_priority)
        self._queue = AdmissionQueue(
            "argon2",
            slots=threads,
            max_waiting=queue,
            max_wait=wait,
            target=TARGET,
            refusal=_BUSY,
        )

    async def hash(self, password: str) -> str:
        """Return the encoded hash of the normalized password (`text.normalize_password`).

        Raises Overloaded where the queue is full or too slow.
        """
        with spans.span("password.hash"):
            return await self._run(self._argon2.hash, _to_bytes(normalize_password(password)))

    async def verify(self, password: str, stored: str | None) -> PasswordCheck:
        """Return whether `password` is that of `stored`; WRONG for None, after the same time.

        The first releases hashed passwords without normalization, so a password that normalization
        changes is also tried unchanged. Raises Overloaded where the queue is full or too slow.
        """
        normalized = normalize_password(password)
        encoded = stored or self._dummy_hash
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
        """Refuse the waiting calls; running hashes end by themselves within a second."""
        self._threads.shutdown(wait=False)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._argon2.verify(stored, _to_bytes(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, function: Callable[P, R], /, *arguments: P.args, **named: P.kwargs) -> R:
        """Run `function` in a thread of the pool. Raises Overloaded, also after the deadline."""
        if not self._queue.enter():
            await self._queue.wait()
        request = current_request()
        if request is not None and request.remaining() == 0:
            self._queue.leave()
            raise Overloaded(_BUSY)
        try:
            future = self._threads.submit(function, *arguments, **named)
        except RuntimeError:  # shut down
            self._queue.leave()
            raise Overloaded("The server is shutting down. Try again.") from None
        # After the thread and not after the waiting task: a caller that left frees no thread.
        future.add_done_callback(partial(self._leave, asyncio.get_running_loop()))
        return await asyncio.wrap_future(future)

    def _leave(self, loop: asyncio.AbstractEventLoop, _: Future[R]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._queue.leave)


def _lower_priority() -> None:
    """Give the thread that serves requests precedence over hashing, which uses whole cores.

    On Linux niceness is per thread; elsewhere the scheduler decides.
    """
    thread = threading.get_native_id()
    with contextlib.suppress(OSError, AttributeError):
        niceness = os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS
        os.setpriority(os.PRIO_PROCESS, thread, niceness)


def _to_bytes(password: str) -> bytes:
    # A lone surrogate is not valid in UTF-8. Such a password is wrong, not an internal error.
    return password.encode("utf-8", "surrogatepass")


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).rstrip(b"=").decode()
