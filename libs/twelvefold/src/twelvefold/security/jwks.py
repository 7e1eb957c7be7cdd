"""The verifier's cache of the issuer's public keys, refreshed in the background.

Owns when keys are fetched again. A failed fetch keeps the present keys in use, because tokens must
verify while the issuer is unavailable. An unknown kid causes a fetch at once, but not more often
than every `RETRY_INTERVAL` seconds, so that forged tokens cannot overload the issuer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from twelvefold.errors import DependencyUnavailable

from .keys import parse_public_keys

MAX_AGE = 300.0  # seconds for which a fetched set is used without another fetch
RETRY_INTERVAL = 10.0  # seconds between two fetches at least
FIRST_RETRY_INTERVAL = 1.0  # the same while there is no key at all and no token can be verified
FETCH_TIMEOUT = 5.0  # seconds

JwksSource = Callable[[], Awaitable[Mapping[str, Any]]]
_log = structlog.get_logger(__name__)


class JwksCache:
    """Keys by kid from `source`. `generation` grows whenever a known key is withdrawn."""

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
        """Return the key, or None where the issuer has no key of that id.

        Raises DependencyUnavailable for an unknown id where the last fetch failed.
        """
        key = self._keys.get(kid)
        if key is not None:
            if self._is_old():
                self._fetch()  # in the background: the present key is still valid
            return key
        if fetching := self._fetch():
            await asyncio.shield(fetching)
        key = self._keys.get(kid)
        if key is None and self._failed:
            raise DependencyUnavailable(self._name)
        return key

    async def aclose(self) -> None:
        """Cancel a fetch."""
        if self._fetching and not self._fetching.done():
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _is_old(self) -> bool:
        return self._fetched_at is None or self._clock() - self._fetched_at >= MAX_AGE

    def _fetch(self) -> asyncio.Task[None] | None:
        """Return the fetch in flight, or start one; None where the next is not due yet."""
        if self._fetching and not self._fetching.done():
            return self._fetching
        interval = RETRY_INTERVAL if self._keys else FIRST_RETRY_INTERVAL
        if self._requested_at is not None and self._clock() - self._requested_at < interval:
            return None
        self._requested_at = self._clock()
        self._fetching = asyncio.create_task(self._refresh(), name="jwks")
        return self._fetching

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                keys = parse_public_keys(await self._source())
        except Exception as error:  # any failure keeps the present keys in use
            self._failed = True
            _log.warning("jwks_fetch_failed", name=self._name, reason=repr(error))
            return
        self._failed = False
        self._fetched_at = self._clock()
        if not self._keys.keys() <= keys.keys():
            self.generation += 1
        self._keys = keys
