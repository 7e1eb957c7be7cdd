"""Free TCP ports on the loopback address, the same for a checkout as long as they stay free.

Chooses ports only; the servers bind them a moment later.
"""

from __future__ import annotations

import hashlib
import itertools
import socket
from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
# Below the range that kernels use for outgoing connections, so that none of those takes a port
# between choice and bind. A server may also use `port + 10000`.
_FIRST, _COUNT = 15_000, 7_600
COMPANION = 10_000


class PortPicker:
    """Offers each port once, in an order that starts at a port derived from `seed`."""

    def __init__(self, seed: str) -> None:
        digest = hashlib.sha256(seed.encode()).digest()
        start = int.from_bytes(digest[:4], "big") % _COUNT
        self._candidates: Iterator[int] = (
            _FIRST + (start + step) % _COUNT for step in itertools.count()
        )

    def take(self, *, with_companion: bool = False) -> int:
        """Return a free port; with companion, `port + COMPANION` is free as well.

        Raises OSError where no port is free.
        """
        for port in itertools.islice(self._candidates, _COUNT):
            if is_free(port) and (not with_companion or is_free(port + COMPANION)):
                return port
        raise OSError(f"no free port from {_FIRST} to {_FIRST + _COUNT} on {LOOPBACK}")


def is_free(port: int) -> bool:
    """Return whether a server can bind `port` on the loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers bind with the same option: connections in TIME_WAIT do not prevent it.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
