"""A cluster in memory, for tests of a rollout's steps: Helm's releases and pods, without time.

Every change is a numbered operation. At operation `kill_at` the run is killed as by SIGKILL, before
the change or half-way. A release that Helm changed half-way is then pending, as in a real cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from twelvefold_ops.rollout.canary_analysis import Sample
from twelvefold_ops.rollout.kubernetes import route_values, scale_values
from twelvefold_ops.rollout.model import (
    CandidateFailed,
    ClusterError,
    Pod,
    Release,
    RolloutRefused,
    Target,
    Workload,
)


class Killed(BaseException):
    """The process was killed: no code of it handles this."""


@dataclass
class Revision:
    number: int
    status: str
    values: dict[str, Any]
    labels: dict[str, str]
    was_in_force: bool = False


@dataclass
class Behaviour:
    """How the pods of a version behave."""

    pulls: bool = True
    starts: bool = True
    ready: bool = True
    errors: float = 0.0  # share
    slow: float = 0.0  # share
    passes_test: bool = True
    kinds: frozenset[str] = frozenset({"email.send"})
    crashes: bool = False
    restarts: int = 0  # of each container, while it started


@dataclass
class FakeCluster:
    """Releases by name. `live` holds the values of the revision that Helm applied last."""

    behaviour: dict[str, Behaviour] = field(default_factory=dict)
    worker_kinds: frozenset[str] = frozenset({"email.send"})
    kill_at: int | None = None
    half_done: bool = False
    refuses: Callable[[str], bool] = lambda _: False
    history: dict[str, list[Revision]] = field(default_factory=dict)
    live: dict[str, dict[str, Any]] = field(default_factory=dict)
    operations: list[str] = field(default_factory=list)
    weights: list[int | None] = field(default_factory=list)
    requests_per_sample: int = 100
    lease_left: bool = False
    divides: bool = True
    _samples: int = 0

    def start(self, service: str, image: str, *, routing: bool = True, pods: int = 3) -> None:
        """Install a service as `helm install` does."""
        values = {"image": {"tag": image}, "autoscaling": {"minReplicas": pods}}
        self._apply(service, values, {}, "deployed")
        if routing:
            self._apply(f"{service}-routing", {"timeouts": {"request": "30s"}}, {}, "deployed")

    @property
    def deployed(self) -> dict[str, dict[str, Any]]:
        """The values of what runs, by release, as a diff of all objects would show them."""
        return dict(self.live)

    # The port.

    @asynccontextmanager
    async def lease(self, service: str, waiting: Callable[[str], None]) -> AsyncIterator[bool]:
        was_abandoned, self.lease_left = self.lease_left, True
        try:
            yield was_abandoned
        except RolloutRefused:
            self.lease_left = False
            raise
        self.lease_left = False

    async def release(self, name: str) -> Release | None:
        found = self.history.get(name)
        if not found:
            return None
        in_force = [one.number for one in found if one.was_in_force]
        newest = found[-1]
        return Release(
            name, newest.number, newest.status, dict(newest.labels), max(in_force, default=None)
        )

    async def values(self, release: str, revision: int | None = None) -> dict[str, Any]:
        found = self.history.get(release, [])
        chosen = [one for one in found if revision in {None, one.number}]
        if not chosen:
            raise ClusterError(f"release: not found: {release}")
        return dict(chosen[-1].values)

    async def weight(self, routing: str) -> int | None:
        canary = self.live.get(routing, {}).get("canary", {})
        return canary["weight"] if canary.get("enabled") else None

    async def has_routes(self, routing: str) -> bool:
        return self.divides and routing in self.live

    async def upgrade(
        self,
        release: str,
        target: Target,
        *,
        pods: int | None = None,
        labels: Mapping[str, str] | None = None,
        hooks: bool = True,
    ) -> None:
        values = dict(target.values) if pods is None else scale_values(target.values, pods)
        stuck = hooks and not self.behaviour.get(values["image"]["tag"], Behaviour()).pulls
        self._change(f"upgrade {release}", release, values, labels or {}, half=stuck)
        if stuck:
            await asyncio.Event().wait()  # as Helm waits for a migration that never starts

    async def route(self, service: str, weight: int | None) -> None:
        name = f"{service}-routing"
        values = route_values((await self._deployed(name)).values, weight)
        self._change(f"route {weight}", name, values, {})
        self.weights.append(weight)

    async def rollback(self, release: str, revision: int) -> None:
        values = await self.values(release, revision)
        self._change(f"rollback {release}", release, values, {})

    async def uninstall(self, release: str) -> None:
        def effect() -> None:
            self.history.pop(release, None)
            self.live.pop(release, None)

        def half() -> None:
            if release in self.history:
                self.history[release][-1].status = "uninstalling"
                self.live.pop(release, None)

        self._operate(f"uninstall {release}", effect, half)

    async def delete_revision(self, release: Release) -> None:
        def effect() -> None:
            self.history[release.name] = [
                one for one in self.history[release.name] if one.number != release.revision
            ]

        self._operate(f"delete revision of {release.name}", effect, lambda: None)

    async def label(self, release: Release, labels: Mapping[str, str]) -> None:
        def effect() -> None:
            self.history[release.name][-1].labels |= labels

        self._operate(f"label {sorted(labels.values())}", effect, lambda: None)

    async def workload(self, release: str) -> Workload:
        values = self.live.get(release)
        if values is None:
            return Workload(0, settled=False, pods=[])
        behaviour, desired = self._behaviour_of(release), values["autoscaling"]["minReplicas"]
        ready = behaviour.starts and behaviour.ready
        pods = [
            Pod(
                name=f"{release}-{number}",
                uid=f"{release}-{number}-{values['image']['tag']}",
                ready=ready,
                restarts=self._samples if behaviour.crashes else behaviour.restarts,
                running_for=1000.0 if behaviour.starts else 0.0,
                is_newest=True,
                waiting_reason=None if behaviour.starts else "CrashLoopBackOff",
            )
            for number in range(desired)
        ]
        return Workload(desired, settled=True, pods=pods)

    async def hooks(self, release: str) -> list[Pod]:
        reason = None if self._behaviour_of(release).pulls else "ImagePullBackOff"
        name = f"{release}-migrate"
        one = Pod(name, name, False, 0, 0.0, is_newest=True, waiting_reason=reason)
        return [one] if reason else []

    async def test(self, release: str) -> None:
        if not self._behaviour_of(release).passes_test:
            raise CandidateFailed("its test failed")

    async def sample(self, service: str, release: str, threshold: float) -> Mapping[str, Sample]:
        self._samples += 1
        behaviour, seen = self._behaviour_of(release), self._samples * self.requests_per_sample
        if release not in self.live:
            return {}
        return {
            release: Sample(
                requests=seen,
                errors=int(seen * behaviour.errors),
                slow=int(seen * behaviour.slow),
                runs=seen,
                failed_runs=int(seen * behaviour.errors),
            )
        }

    async def job_kinds(self, service: str, release: str) -> frozenset[str] | None:
        return self.worker_kinds if service == "worker" else self._behaviour_of(release).kinds

    async def failure_logs(self, release: str) -> str:
        return f"the log of {release}" if release in self.live else ""

    # Changes.

    def _behaviour_of(self, release: str) -> Behaviour:
        tag = self.live.get(release, {}).get("image", {}).get("tag", "")
        return self.behaviour.get(tag, Behaviour())

    async def _deployed(self, name: str) -> Revision:
        return [one for one in self.history[name] if one.was_in_force][-1]

    def _change(
        self,
        what: str,
        release: str,
        values: dict[str, Any],
        labels: Mapping[str, str],
        *,
        half: bool = False,
    ) -> None:
        found = self.history.get(release, [])
        if found and found[-1].status.startswith("pending"):
            raise ClusterError("another operation (install/upgrade/rollback) is in progress")
        if found and not any(one.was_in_force for one in found):
            raise ClusterError(f"{release} has no deployed releases")
        status = "pending-upgrade" if found else "pending-install"
        self._operate(
            what,
            lambda: self._apply(release, values, labels, status if half else "deployed"),
            lambda: self._apply(release, values, labels, status),
        )

    def _apply(
        self, release: str, values: dict[str, Any], labels: Mapping[str, str], status: str
    ) -> None:
        found = self.history.setdefault(release, [])
        kept = found[-1].labels if found else {}
        number = found[-1].number + 1 if found else 1
        in_force = status == "deployed"
        if in_force and found:
            found[-1] = replace(found[-1], status="superseded")
        found.append(Revision(number, status, values, {**kept, **labels}, in_force))
        self.live[release] = values

    def _operate(self, what: str, effect: Callable[[], None], half: Callable[[], None]) -> None:
        if self.refuses(what):
            raise ClusterError(f"no {what}")
        self.operations.append(what)
        if self.kill_at == len(self.operations):
            if self.half_done:
                half()
            raise Killed(what)
        effect()
