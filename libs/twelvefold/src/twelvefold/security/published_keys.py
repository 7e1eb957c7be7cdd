"""The issuer's public keys as a service serves and verifies with them.

Owns how long a set is used. `jwks` parses the keys for the verifier.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from twelvefold.errors import DependencyUnavailable

from .jwks import JwksSource

KEYS_MAX_AGE = 300.0  # seconds for which a set is served without a request to the issuer
_RETRY_INTERVAL = 10.0  # seconds between two requests to an issuer that is unavailable


class PublishedKeys:
    """The last JWK set from `source`, served also while the issuer is unavailable.

    One source for an endpoint and for a verifier, which calls `fetch` for new keys.
    """

    def __init__(self, source: JwksSource, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._keys: Mapping[str, Any] | None = None
        self._fetched_at = 0.0
        self._fetching = asyncio.Lock()
        self._json: tuple[Mapping[str, Any], bytes] | None = None

    async def fetch(self) -> Mapping[str, Any]:
        """Request the keys. Raises DependencyUnavailable where the issuer does not answer."""
        keys = await self._source()
        self._keys, self._fetched_at = keys, self._clock()
        return keys

    async def current_json(self) -> bytes:
        """Return `current` as JSON, rendered once for each set."""
        keys = await self.current()
        if self._json is None or self._json[0] is not keys:
            self._json = keys, json.dumps(keys).encode()
        return self._json[1]

    async def current(self) -> Mapping[str, Any]:
        """Return keys of at most 5 minutes, or older ones while the issuer is unavailable.

        Raises DependencyUnavailable without any keys.
        """
        async with self._fetching:
            if self._keys is not None and self._clock() - self._fetched_at < KEYS_MAX_AGE:
                return self._keys
            try:
                return await self.fetch()
            except DependencyUnavailable:
                if self._keys is None:
                    raise
                # Not every request in the meantime tries again.
                self._fetched_at = self._clock() - KEYS_MAX_AGE + _RETRY_INTERVAL
                return self._keys
