"""The tokens of a session. A client renews them by itself and reports each new pair."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import httpx

EARLY = 10.0  # seconds before its end from which an access token counts as expired
# A refresh token may be sent again for 10 seconds after its first use, and leads to the same
# successor; beyond that it ends the session. No try starts later than this.
REPEATABLE = 8.0  # seconds
TIMEOUT = 4.0  # seconds of one try, so that two of them fit


@dataclass(frozen=True, slots=True)
class Tokens:
    """An access token and the refresh token that is exchanged for the next pair, once."""

    access: str = field(repr=False)
    refresh: str | None = field(default=None, repr=False)
    expires_at: float | None = None  # seconds since the epoch; None: unknown

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and time.time() >= self.expires_at - EARLY


def read_tokens(response: httpx.Response) -> Tokens:
    """Return the tokens in a response of the token endpoint."""
    pair = response.json()
    return Tokens(
        pair["access_token"], pair["refresh_token"], time.time() + float(pair["expires_in"])
    )
