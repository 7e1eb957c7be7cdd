"""What a rollout is made of: its target, what stands in the cluster, and the port to the cluster.

Owns names and labels. Everything that a rollout remembers is in labels of the second release, so
that the command can be killed anywhere and run again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from twelvefold.errors import TwelvefoldError

from .canary_analysis import AnalysisLimits, Sample

Values = Mapping[str, Any]
PREFIX = "rollout.twelvefold.dev"
PHASE, TARGET = f"{PREFIX}/phase", f"{PREFIX}/target"
PRIMARY_BEFORE, ROUTING_BEFORE = f"{PREFIX}/primary-before", f"{PREFIX}/routing-before"
PROMOTION = f"{PREFIX}/promotion"  # "begun" once the primary release may have been touched
WORKER = "worker"  # nobody calls it: its share is its share of the pods


class Phase(StrEnum):
    """What the second release is there for."""

    TRYING = "trying"  # judged; the way on is not decided
    PROMOTING = "promoting"  # good: the primary release becomes the same
    DONE = "done"  # the primary release is the new version: the second one has only to go
    UNDOING = "undoing"  # bad, or called off: everything becomes as before


class RolloutOutcome(StrEnum):
    """How a rollout ends."""

    PROMOTED = "promoted"
    UNCHANGED = "unchanged"
    UNDONE = "undone"


class RolloutError(TwelvefoldError):
    """Base of what ends a rollout."""


class RolloutRefused(RolloutError):
    """It would be wrong to begin; nothing was changed."""


class CandidateFailed(RolloutError):
    """The new version is not to be had: it does not start, or it is worse."""


class ClusterError(RolloutError):
    """Helm or the API server said no, or nothing."""


class RolloutIncomplete(RolloutError):
    """Neither forth nor back; running the command again goes on from there."""


@dataclass(frozen=True, slots=True)
class ReleaseNames:
    """Of one service's releases in Helm."""

    service: str

    @property
    def primary(self) -> str:
        return self.service

    @property
    def canary(self) -> str:
        return f"{self.service}-canary"

    @property
    def routing(self) -> str | None:
        """None: requests do not lead to it, so there is nothing to route."""
        return None if self.service == WORKER else f"{self.service}-routing"


@dataclass(frozen=True, slots=True)
class Target:
    """What is to run: an image, named for people, and the values that the service's chart gets."""

    service: str
    title: str
    values: Values

    @property
    def digest(self) -> str:
        """Tells two targets apart, in what fits into a label."""
        output = json.dumps(self.values, sort_keys=True).encode()
        return hashlib.sha256(output).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Options:
    """How a rollout goes. Seconds, and shares of the traffic in percent."""

    steps: tuple[int, ...] = (5, 25, 50, 100)
    window: float = 30.0  # each step is watched for so long
    patience: float = 600.0  # and for so long at most, where too few requests come to judge
    limits: AnalysisLimits = field(default_factory=AnalysisLimits)
    ready_within: float = 60.0  # from a container's start to its readiness
    placed_within: float = 300.0  # from the Deployment to all of its pods
    settle: float = 5.0  # until every proxy knows new weights
    interval: float = 5.0  # between two looks at the figures
    check: str | None = None  # a command that decides while only the header leads to the new one


@dataclass(frozen=True, slots=True)
class Release:
    """A release in Helm as its newest revision says."""

    name: str
    revision: int
    status: str
    labels: Mapping[str, str] = field(default_factory=dict)
    deployed: int | None = None  # the newest revision that ever was in force

    @property
    def is_pending(self) -> bool:
        """Helm is at work, or was killed at it."""
        return self.status.startswith(("pending", "uninstalling"))

    @property
    def is_void(self) -> bool:
        """It never was in force, so Helm can only take it away."""
        return self.deployed is None or self.status in {"uninstalling", "superseded"}

    @property
    def phase(self) -> Phase | None:
        found = self.labels.get(PHASE)
        return Phase(found) if found in list(Phase) else None


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of one release. `waiting_reason` is why it cannot become ready, in Kubernetes' word."""

    name: str
    uid: str
    ready: bool
    restarts: int
    running_for: float  # seconds since its container's last start; 0: it does not run
    is_newest: bool  # of the Deployment's present template
    waiting_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """A release's Deployment and its pods. `settled`: no pod of an older template is left."""

    wanted: int
    settled: bool
    pods: Sequence[Pod]

    @property
    def ready(self) -> int:
        return sum(pod.ready for pod in self.pods if pod.is_newest)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, for whoever watches: `kind`, a sentence, and figures."""

    kind: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


Report = Callable[[Event], None]


class Cluster(Protocol):
    """What a rollout needs: Helm's releases and Kubernetes' objects of one namespace.

    Everything may raise ClusterError. Nothing is remembered between two calls.
    """

    def lease(
        self, service: str, waiting: Callable[[str], None]
    ) -> AbstractAsyncContextManager[bool]:
        """One rollout of a service at a time; True where the last one ended without saying so.

        It is given back at an orderly end, and left to expire where Unfinished goes through it.
        Raises Refused where another rollout keeps it.
        """
        ...

    async def release(self, name: str) -> Release | None: ...

    async def values(self, release: str, revision: int | None = None) -> dict[str, Any]:
        """What was given to a release, without its chart's defaults."""
        ...

    async def weight(self, routing: str) -> int | None:
        """The second release's share in percent; None: it is no place to go."""
        ...

    async def upgrade(
        self,
        release: str,
        target: Target,
        *,
        pods: int | None = None,
        labels: Mapping[str, str] | None = None,
        hooks: bool = True,
    ) -> None:
        """Installs or upgrades a release of the service, with `pods` at least; does not wait."""
        ...

    async def route(self, service: str, weight: int | None) -> None:
        """Gives the second release its share; None: as without one.

        It holds for what is live, whatever Helm believes to be there.
        """
        ...

    async def rollback(self, release: str, revision: int) -> None: ...

    async def uninstall(self, release: str) -> None:
        """With everything that hooks and tests left; waits until its pods are gone."""
        ...

    async def delete_revision(self, release: Release) -> None:
        """Drops a revision that Helm was killed at, so that the one before it counts again."""
        ...

    async def label(self, release: Release, labels: Mapping[str, str]) -> None: ...

    async def workload(self, release: str) -> Workload: ...

    async def hooks(self, release: str) -> list[Pod]:
        """The pods of its migration, for which Helm waits while it upgrades."""
        ...

    async def test(self, release: str) -> None:
        """`helm test`. Raises Bad with what the test wrote."""
        ...

    async def sample(self, service: str, release: str, threshold: float) -> Mapping[str, Sample]:
        """What the pods of a release counted so far, by the pod; those that answer."""
        ...

    async def job_kinds(self, service: str, release: str) -> frozenset[str] | None:
        """Kinds of jobs that every pod of a release knows; None: there is none that says."""
        ...

    async def failure_logs(self, release: str) -> str:
        """The end of the logs of a release's pods and of its migration, for a person."""
        ...
