"""The processes of the stack as the supervisor has them, and what each says of its health.

Owns the question, not the answers: state, memory and URLs come over the control socket, health
from /readyz of each management port.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twelvefold_dev.servers.server import StackError
from twelvefold_dev.supervisor.control import ask_async
from twelvefold_dev.system.probe import get

_ASK_TIMEOUT = 5.0  # seconds
_PROBE_TIMEOUT = 2.0
_PROBE_EVERY = 30.0  # a probe makes the service ping its peers, which log and count that
_Health = tuple[str | None, dict[str, str]]  # a word, and every backing service's own


class Processes:
    """Looks at the stack whose control socket lies in `run`."""

    def __init__(self, run: Path, services: frozenset[str]) -> None:
        self._run = run
        self._services = services
        self._probed: dict[int, tuple[float, _Health]] = {}  # by process id
        self.latest: list[dict[str, Any]] = []
        self.error: str | None = "not asked yet"

    async def look(self, *, probing: bool = True) -> None:
        """Asks the supervisor and, where `probing`, now and then every service.

        What it finds is `latest`.
        """
        try:
            response = await ask_async(self._run, _ASK_TIMEOUT, command="ps")
        except StackError as error:
            self.error = str(error)
            return
        rows: list[dict[str, Any]] = response["processes"]
        rows.sort(
            key=lambda row: (not self._is_service(row), self._is_service(row) and row["name"])
        )
        found = await asyncio.gather(*(self._health(row, probing=probing) for row in rows))
        for row, (health, checks) in zip(rows, found, strict=True):
            row["health"], row["checks"] = health, checks
        self._probed = {
            pid: self._probed[pid] for row in rows if (pid := row["pid"]) in self._probed
        }
        self.latest, self.error = rows, None

    def services(self) -> Sequence[tuple[str, str]]:
        """Name and management URL of each running process of a service."""
        return [
            (row["name"], row["url"])
            for row in self.latest
            if self._is_service(row) and row["state"] == "running"
        ]

    def _is_service(self, row: dict[str, Any]) -> bool:
        return row["name"].partition(".")[0] in self._services

    async def _health(self, row: dict[str, Any], *, probing: bool) -> _Health:
        """None for what has no management port."""
        if not self._is_service(row) or row["state"] != "running":
            return None, {}
        at, found = self._probed.get(row["pid"], (0.0, (None, {})))
        # What is not well is looked at again at once.
        if probing and (found[0] != "ok" or time.monotonic() - at > _PROBE_EVERY):
            found = await _probed(row["url"])
            self._probed[row["pid"]] = time.monotonic(), found
        return found


async def _probed(url: str) -> _Health:
    try:
        _, body = await get(url, "/readyz", within=_PROBE_TIMEOUT)
        found = json.loads(body)
        checks = {str(key): str(value) for key, value in found["checks"].items()}
        return str(found["status"]), checks
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "silent", {}
