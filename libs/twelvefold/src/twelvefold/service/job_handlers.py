"""The job kinds of a service with their handlers, and the process that runs them.

Imports no driver, because the command line loads each service's `Service`. `jobs.worker` runs the
kinds of one process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from twelvefold.jobs import HandlerRegistry, PeriodicJob
    from twelvefold.settings import EnvironmentSettings

    from .backing import BackingServices

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JobHost:
    """What handlers get of the process that runs them, which may be another service's."""

    service: str  # the caller's name at internal ports
    settings: Any  # an instance of `JobHandlers.settings`
    backing: BackingServices
    shared: dict[str, Any] = field(default_factory=dict)

    def share(self, name: str, create: Callable[[], T]) -> T:
        """Return the object of this name, such as a client, created by the first who asks."""
        if name not in self.shared:
            self.shared[name] = create()
        shared: T = self.shared[name]
        return shared


@dataclass(frozen=True, slots=True)
class JobHandlers:
    """Kinds with their handlers and schedule, in the package of the service that owns them.

    `settings` is the group that the handlers read; the settings of the process that runs them
    include it. `register` adds the kinds to a registry and returns their schedule.
    """

    settings: type[EnvironmentSettings]
    register: Callable[[HandlerRegistry, JobHost], Sequence[PeriodicJob]]


def register_handlers(
    handlers: Iterable[JobHandlers], host: JobHost
) -> tuple[HandlerRegistry, list[PeriodicJob]]:
    """Return the kinds and the schedule of a process.

    Leaves out handlers whose settings the process lacks, because their feature is off. Raises
    ValueError where a kind has two handlers.
    """
    from twelvefold.jobs import HandlerRegistry, PeriodicJob

    registry, schedule = HandlerRegistry(), list[PeriodicJob]()
    for entry in handlers:
        if isinstance(host.settings, entry.settings):
            schedule += entry.register(registry, host)
    return registry, schedule
