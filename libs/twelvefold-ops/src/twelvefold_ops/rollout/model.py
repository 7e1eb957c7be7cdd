"""The model of a rollout: its target, the state of the cluster, and the port to the cluster.

Defines names and labels. A rollout keeps its state in labels of the canary release only, so that
the command can be killed at any time and run again.
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
PROMOTION = f"{PREFIX}/promotion"  # "begun" once the primary release may have changed
WORKER = "worker"  # runs the jobs of the other services


class Phase(StrEnum):
    """The state of a rollout, stored as a label of the canary release."""

    TRYING = "trying"  # under analysis; no decision yet
    PROMOTING = "promoting"  # passed: the primary release is upgraded to the same version
    DONE = "done"  # the primary release is the new version; the canary is to be removed
    UNDOING = "undoing"  # failed or cancelled: the former state is restored


class RolloutOutcome(StrEnum):
    """The result of a rollout that ended."""

    PROMOTED = "promoted"
    UNCHANGED = "unchanged"
    UNDONE = "undone"


class RolloutError(TwelvefoldError):
    """Base class of the errors that end a rollout."""


class RolloutRefused(RolloutError):
    """The rollout may not start; nothing was changed."""


class CandidateFailed(RolloutError):
    """The new version does not start, or it performs worse than the old one."""


class ClusterError(RolloutError):
    """Helm or the API server reported an error or did not respond."""


class RolloutIncomplete(RolloutError):
    """Neither promoted nor rolled back. The same command continues from the present state."""


@dataclass(frozen=True, slots=True)
class ReleaseNames:
    """The names of one service's releases in Helm. `is_routed`: it receives requests.

    The weight of a service that receives none is its share of the pods.
    """

    service: str
    is_routed: bool = True

    @property
    def primary(self) -> str:
        return self.service

    @property
    def canary(self) -> str:
        return f"{self.service}-canary"

    @property
    def routing(self) -> str | None:
        """None for a service that receives no requests."""
        return f"{self.service}-routing" if self.is_routed else None


@dataclass(frozen=True, slots=True)
class Target:
    """The version to run: its title for display, and the values for its chart."""

    service: str
    title: str
    values: Values
    is_routed: bool = True

    @property
    def names(self) -> ReleaseNames:
        return ReleaseNames(self.service, self.is_routed)

    @property
    def digest(self) -> str:
        """Identify the target in a label: the first 16 hex digits of the values' SHA-256."""
        serialized = json.dumps(self.values, sort_keys=True).encode()
        return hashlib.sha256(serialized).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of a rollout. Durations are in seconds, steps in percent of the traffic."""

    steps: tuple[int, ...] = (5, 25, 50, 100)
    window: float = 30.0  # how long each step is watched
    patience: float = 600.0  # limit of a step that gets too few requests for a verdict
    limits: AnalysisLimits = field(default_factory=AnalysisLimits)
    ready_timeout: float = 60.0  # from a container's start to its readiness
    placement_timeout: float = 300.0  # from the upgrade to the readiness of all pods
    propagation_delay: float = 5.0  # until every proxy has received new weights
    poll_interval: float = 5.0  # between two samples of the metrics
    check: str | None = None  # shell command run while only the header routes to the canary


@dataclass(frozen=True, slots=True)
class Release:
    """A release in Helm, described by its newest revision."""

    name: str
    revision: int
    status: str
    labels: Mapping[str, str] = field(default_factory=dict)
    deployed: int | None = None  # the newest revision that was ever deployed

    @property
    def is_pending(self) -> bool:
        """Whether Helm is changing it, or was killed while it did."""
        return self.status.startswith(("pending", "uninstalling"))

    @property
    def is_void(self) -> bool:
        """Whether it was never deployed, so that Helm can only uninstall it."""
        return self.deployed is None or self.status in {"uninstalling", "superseded"}

    @property
    def phase(self) -> Phase | None:
        """None where no rollout created it."""
        label = self.labels.get(PHASE)
        return Phase(label) if label in list(Phase) else None


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of one release. `waiting_reason` is Kubernetes' reason why it is not ready."""

    name: str
    uid: str
    ready: bool
    restarts: int
    running_for: float  # seconds since its container's last start; 0 if it does not run
    is_newest: bool  # created from the Deployment's present template
    waiting_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """A release's Deployment and its pods. `settled`: no pod of an older template is left."""

    desired: int
    settled: bool
    pods: Sequence[Pod]

    @property
    def ready(self) -> int:
        """The number of ready pods of the present template."""
        return sum(pod.ready for pod in self.pods if pod.is_newest)


@dataclass(frozen=True, slots=True)
class Event:
    """A step of the rollout to display: its kind, a text, and facts for JSON."""

    kind: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


Report = Callable[[Event], None]


class Cluster(Protocol):
    """The port of a rollout: Helm's releases and Kubernetes' objects in one namespace.

    Every method may raise ClusterError. No state is kept between two calls.
    """

    def lease(
        self, service: str, waiting: Callable[[str], None]
    ) -> AbstractAsyncContextManager[bool]:
        """Allow one rollout of a service at a time. Yields True if the last one was killed.

        The lease is released at a regular end, and left to expire after RolloutIncomplete.
        Raises RolloutRefused where another rollout holds it.
        """
        ...

    async def release(self, name: str) -> Release | None:
        """Return the release; None if there is none of that name."""
        ...

    async def values(self, release: str, revision: int | None = None) -> dict[str, Any]:
        """Return a release's own values, without its chart's defaults."""
        ...

    async def weight(self, routing: str) -> int | None:
        """Return the canary's weight in percent; None if no route names it."""
        ...

    async def has_routes(self, routing: str) -> bool:
        """Return whether the release has routes, which can divide requests by weight."""
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
        """Install or upgrade a release with at least `pods` pods, and do not wait for them."""
        ...

    async def route(self, service: str, weight: int | None) -> None:
        """Set the canary's weight in percent; None removes it from the routes.

        Replaces the objects in the cluster even where Helm's record says that they are equal.
        """
        ...

    async def rollback(self, release: str, revision: int) -> None:
        """Return a release to an earlier revision."""
        ...

    async def uninstall(self, release: str) -> None:
        """Remove a release and the objects of its hooks and tests; wait until they are deleted."""
        ...

    async def delete_revision(self, release: Release) -> None:
        """Delete a revision that Helm left pending, so that the one before it is the newest."""
        ...

    async def label(self, release: Release, labels: Mapping[str, str]) -> None:
        """Add labels to the release's newest revision."""
        ...

    async def workload(self, release: str) -> Workload:
        """Return the release's Deployment; an unsettled one without pods if there is none."""
        ...

    async def hooks(self, release: str) -> list[Pod]:
        """Return the pods of its migration, for which Helm waits during an upgrade."""
        ...

    async def test(self, release: str) -> None:
        """Run `helm test`. Raises CandidateFailed with the test's output."""
        ...

    async def sample(self, service: str, release: str, threshold: float) -> Mapping[str, Sample]:
        """Return the counters of each pod that responds, by its uid.

        Requests slower than `threshold` seconds count as slow.
        """
        ...

    async def job_kinds(self, service: str, release: str) -> frozenset[str] | None:
        """Return the job kinds that every pod of a release knows; None if no pod responds."""
        ...

    async def failure_logs(self, release: str) -> str:
        """Return the last log lines of a release's unready pods and of its migration."""
        ...
