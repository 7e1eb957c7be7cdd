"""Whether this process takes traffic, and how its backing services are.

Owns the three states of a process and the wording of the reports. A lost backing service is a
degradation, never unreadiness: if every replica left at once, clients would get the proxy's
plain 503 instead of our problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class ProcessState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Pings(Protocol):
    """What health asks of BackingServices: the state of each by name, bounded in time."""

    async def ping(self) -> Mapping[str, Any]:
        """Never raises; a value reads `ok` as a string where the service answers."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """One look at the process. `checks` names every backing service's state."""

    state: ProcessState
    checks: Mapping[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return self.state is ProcessState.READY

    @property
    def status(self) -> str:
        """`ok`, `degraded` (a backing service is lost) or `unavailable` (starting, draining)."""
        if not self.ready:
            return "unavailable"
        return "ok" if all(state == "ok" for state in self.checks.values()) else "degraded"


class Health:
    """The state of one process; moves forward only."""

    def __init__(self, backing: Pings | None = None) -> None:
        self._backing = backing
        self.state = ProcessState.STARTING

    @property
    def ready(self) -> bool:
        return self.state is ProcessState.READY

    @property
    def draining(self) -> bool:
        return self.state is ProcessState.DRAINING

    def mark_ready(self) -> None:
        """Takes traffic from now on; ignored once the process drains."""
        if self.state is ProcessState.STARTING:
            self.state = ProcessState.READY

    def mark_draining(self) -> None:
        self.state = ProcessState.DRAINING

    async def report(self) -> Report:
        """Asks every backing service. Bounded by the pings' own limits."""
        checks = await self._backing.ping() if self._backing else {}
        return Report(self.state, {name: str(value) for name, value in checks.items()})
