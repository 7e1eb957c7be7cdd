"""The job kinds that a worker runs, each with its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from twelvefold.contracts.jobs import JobPayload
from twelvefold.jobs.model import Completion, JobKind

from .context import JobContext

P = TypeVar("P", bound=JobPayload)

HandlerResult = Completion | Mapping[str, Any] | None
Handler = Callable[[JobContext, P], Awaitable[HandlerResult]]


@dataclass(frozen=True, slots=True)
class Registration(Generic[P]):
    """A kind and its handler."""

    kind: JobKind[P]
    handler: Handler[P]


class HandlerRegistry:
    """The kinds that this worker runs. Jobs of other kinds wait for a worker that runs them."""

    def __init__(self) -> None:
        self._by_name: dict[str, Registration[Any]] = {}

    def add(self, kind: JobKind[P], handler: Handler[P]) -> None:
        """Register a handler. Raises ValueError if the kind has one."""
        if kind.name in self._by_name:
            raise ValueError(f"two handlers for {kind.name}")
        self._by_name[kind.name] = Registration(kind, handler)

    def get(self, name: str) -> Registration[Any]:
        """Return the registration of a kind that this worker claims."""
        return self._by_name[name]

    @property
    def kinds(self) -> list[JobKind[Any]]:
        """Return all registered kinds."""
        return [entry.kind for entry in self._by_name.values()]
