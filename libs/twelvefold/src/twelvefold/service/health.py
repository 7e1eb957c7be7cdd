"""Whether this process takes traffic, and the states of its backing services.

Owns the three states of a process and the wording of the reports. An unavailable backing service
degrades a process but leaves it ready: if all replicas became unready at once, clients would get
the proxy's plain 503 instead of a problem document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class ProcessState(StrEnum):
    """The state of a process, which only moves forward."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Pings(Protocol):
    """The part of BackingServices that health needs."""

    async def ping(self) -> Mapping[str, Any]:
        """Return the state of each service by name, within a bounded time; never raise.

        The string of a state is `ok` where the service responds.
        """
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """The health of the process at one moment. `checks` maps backing services to their states."""

    state: ProcessState
    checks: Mapping[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return self.state is ProcessState.READY

    @property
    def status(self) -> str:
        """`ok`, `degraded` (a backing service is down) or `unavailable` (starting, draining)."""
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
        """Take traffic from now on; ignored once the process drains."""
        if self.state is ProcessState.STARTING:
            self.state = ProcessState.READY

    def mark_draining(self) -> None:
        """Take no more traffic from now on."""
        self.state = ProcessState.DRAINING

    async def report(self) -> Report:
        """Ping each backing service and return the report, within the pings' own time limits."""
        checks = await self._backing.ping() if self._backing else {}
        return Report(self.state, {name: str(value) for name, value in checks.items()})
