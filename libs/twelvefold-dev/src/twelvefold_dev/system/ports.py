"""Free TCP ports on the loopback address, stable for a checkout while nobody else takes them.

Owns the choice only; the servers bind them a moment later.
"""

from __future__ import annotations

import hashlib
import itertools
import socket
from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
# Below what kernels hand out for outgoing connections, so that none of those takes our port
# between choice and bind. The upper 10,000 are for servers that count on `port + 10000`.
_FIRST, _COUNT = 15_000, 7_600
COMPANION = 10_000


class PortPicker:
    """Hands out each port once, walking from a place that `seed` decides."""

    def __init__(self, seed: str) -> None:
        digest = hashlib.sha256(seed.encode()).digest()
        start = int.from_bytes(digest[:4], "big") % _COUNT
        self._candidates: Iterator[int] = (
            _FIRST + (start + step) % _COUNT for step in itertools.count()
        )

    def take(self, *, with_companion: bool = False) -> int:
        """A free port; with companion: of which `port + COMPANION` is free as well."""
        for port in itertools.islice(self._candidates, _COUNT):
            if is_free(port) and (not with_companion or is_free(port + COMPANION)):
                return port
        raise OSError(f"no free port from {_FIRST} to {_FIRST + _COUNT} on {LOOPBACK}")


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers bind: connections that linger in TIME_WAIT are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
