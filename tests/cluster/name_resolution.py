"""Leads a host name of a test to an address, as /etc/hosts would; for this process only.

A pytest plugin (`-p tests.cluster.name_resolution`): contract and e2e suites can run against a
gateway whose name no resolver knows: RESOLVE="name=address".
"""

from __future__ import annotations

import os
import socket
from typing import Any

_own = socket.getaddrinfo


def lead(name: str, address: str) -> None:
    """From now on `name` is at `address`."""

    def resolved(host: Any, *arguments: Any, **options: Any) -> Any:
        requested = host.decode() if isinstance(host, bytes) else host
        return _own(address if requested == name else host, *arguments, **options)

    vars(socket)["getaddrinfo"] = resolved


if asked_for := os.environ.get("RESOLVE"):
    lead(*asked_for.split("=", 1))
