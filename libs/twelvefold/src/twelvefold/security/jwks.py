"""The issuer's public keys as a verifier has them: cached, refreshed beside the requests.

Owns when to ask again. A fetch that fails leaves the keys in use, because tokens must verify
while the issuer is away; an unknown kid asks at once, but not more often than `RETRY`, so that
forged tokens cannot make us hammer the issuer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from twelvefold.errors import DependencyUnavailable

from .keys import public_keys

MAX_AGE = 300.0  # seconds that a fetched set is taken without asking again
RETRY = 10.0  # seconds between two fetches, whatever asks for them
FIRST_RETRY = 1.0  # the same while there is no key at all and nothing can be verified
FETCH_TIMEOUT = 5.0  # seconds

JwksSource = Callable[[], Awaitable[Mapping[str, Any]]]
_log = structlog.get_logger(__name__)


class JwksCache:
    """Keys by kid from `source`. `generation` grows whenever a known key was taken away."""

    def __init__(
        self,
        source: JwksSource,
        *,
        name: str = "users",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._name = name
        self._clock = clock
        self._keys: dict[str, EllipticCurvePublicKey] = {}
        self._fetched_at: float | None = None
        self._requested_at: float | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None
        self.generation = 0

    async def get(self, kid: str) -> EllipticCurvePublicKey | None:
        """The key, or None where the issuer has none of that id.

        Raises DependencyUnavailable where that cannot be told, the last fetch having failed.
        """
        key = self._keys.get(kid)
        if key is not None:
            if self._is_old():
                self._fetch()  # beside this request: the key in hand is good
            return key
        if fetching := self._fetch():
            await asyncio.shield(fetching)
        key = self._keys.get(kid)
        if key is None and self._failed:
            raise DependencyUnavailable(self._name)
        return key

    async def aclose(self) -> None:
        if self._fetching and not self._fetching.done():
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _is_old(self) -> bool:
        return self._fetched_at is None or self._clock() - self._fetched_at >= MAX_AGE

    def _fetch(self) -> asyncio.Task[None] | None:
        """The fetch under way, a new one, or None where one is not due yet."""
        if self._fetching and not self._fetching.done():
            return self._fetching
        pause = RETRY if self._keys else FIRST_RETRY
        if self._requested_at is not None and self._clock() - self._requested_at < pause:
            return None
        self._requested_at = self._clock()
        self._fetching = asyncio.create_task(self._refresh(), name="jwks")
        return self._fetching

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                keys = public_keys(await self._source())
        except Exception as error:  # whatever it was: the keys in hand stay in use
            self._failed = True
            _log.warning("jwks_fetch_failed", name=self._name, reason=repr(error))
            return
        self._failed = False
        self._fetched_at = self._clock()
        if not self._keys.keys() <= keys.keys():
            self.generation += 1
        self._keys = keys
