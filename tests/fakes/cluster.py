"""A cluster in memory, for the order of a rollout's steps: state of Helm and Kubernetes, no time.

Every change is one operation with a number; at a chosen one the run is killed, before or after it
took effect, as SIGKILL would. What Helm does half way is `pending` then, as in a real cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from twelvefold_ops.rollout.canary_analysis import Sample
from twelvefold_ops.rollout.kubernetes import routed, scaled
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
    """The process is gone: nothing of it catches this."""


@dataclass
class Revision:
    number: int
    status: str
    values: dict[str, Any]
    labels: dict[str, str]
    was_in_force: bool = False


@dataclass
class Conduct:
    """How a version behaves, by its tag."""

    pulls: bool = True
    starts: bool = True
    ready: bool = True
    errors: float = 0.0  # share
    slow: float = 0.0  # share
    passes_test: bool = True
    kinds: frozenset[str] = frozenset({"email.send"})
    crashes: bool = False


@dataclass
class FakeCluster:
    """Releases by name; what runs is what the last revision that Helm applied says."""

    conduct: dict[str, Conduct] = field(default_factory=dict)
    worker_kinds: frozenset[str] = frozenset({"email.send"})
    kill_at: int | None = None
    half_done: bool = False
    refuses: Callable[[str], bool] = lambda _: False
    history: dict[str, list[Revision]] = field(default_factory=dict)
    live: dict[str, dict[str, Any]] = field(default_factory=dict)
    operations: list[str] = field(default_factory=list)
    weights: list[int | None] = field(default_factory=list)
    requests_per_look: int = 100
    lease_left: bool = False
    _looks: int = 0

    def start(self, service: str, image: str, *, routing: bool = True, pods: int = 3) -> None:
        """A service as `helm install` would leave it."""
        values = {"image": {"tag": image}, "autoscaling": {"minReplicas": pods}}
        self._apply(service, values, {}, "deployed")
        if routing:
            self._apply(f"{service}-routing", {"timeouts": {"request": "30s"}}, {}, "deployed")

    @property
    def deployed(self) -> dict[str, dict[str, Any]]:
        """What a diff of all objects would see: contents of what is live, by release."""
        return dict(self.live)

    # The port.

    @asynccontextmanager
    async def lease(self, service: str, waiting: Callable[[str], None]) -> AsyncIterator[bool]:
        abandoned, self.lease_left = self.lease_left, True
        try:
            yield abandoned
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

    async def upgrade(
        self,
        release: str,
        target: Target,
        *,
        pods: int | None = None,
        labels: Mapping[str, str] | None = None,
        hooks: bool = True,
    ) -> None:
        values = dict(target.values) if pods is None else scaled(target.values, pods)
        stuck = hooks and not self.conduct.get(values["image"]["tag"], Conduct()).pulls
        self._change(f"upgrade {release}", release, values, labels or {}, half=stuck)
        if stuck:
            await asyncio.Event().wait()  # as Helm waits for a migration that never starts

    async def route(self, service: str, weight: int | None) -> None:
        name = f"{service}-routing"
        values = routed((await self._deployed(name)).values, weight)
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

        self._operate(f"forget {release.name}", effect, lambda: None)

    async def label(self, release: Release, labels: Mapping[str, str]) -> None:
        def effect() -> None:
            self.history[release.name][-1].labels |= labels

        self._operate(f"label {sorted(labels.values())}", effect, lambda: None)

    async def workload(self, release: str) -> Workload:
        values = self.live.get(release)
        if values is None:
            return Workload(0, settled=False, pods=[])
        conduct, wanted = self._conduct(release), values["autoscaling"]["minReplicas"]
        ready = conduct.starts and conduct.ready
        pods = [
            Pod(
                name=f"{release}-{number}",
                uid=f"{release}-{number}-{values['image']['tag']}",
                ready=ready,
                restarts=self._looks if conduct.crashes else 0,
                running_for=1000.0 if conduct.starts else 0.0,
                is_newest=True,
                waiting_reason=None if conduct.starts else "CrashLoopBackOff",
            )
            for number in range(wanted)
        ]
        return Workload(wanted, settled=True, pods=pods)

    async def hooks(self, release: str) -> list[Pod]:
        trouble = None if self._conduct(release).pulls else "ImagePullBackOff"
        name = f"{release}-migrate"
        one = Pod(name, name, False, 0, 0.0, is_newest=True, waiting_reason=trouble)
        return [one] if trouble else []

    async def test(self, release: str) -> None:
        if not self._conduct(release).passes_test:
            raise CandidateFailed("its own test failed")

    async def sample(self, service: str, release: str, threshold: float) -> Mapping[str, Sample]:
        self._looks += 1
        conduct, seen = self._conduct(release), self._looks * self.requests_per_look
        if release not in self.live:
            return {}
        return {
            release: Sample(
                requests=seen,
                errors=int(seen * conduct.errors),
                slow=int(seen * conduct.slow),
                runs=seen,
                failed_runs=int(seen * conduct.errors),
            )
        }

    async def job_kinds(self, service: str, release: str) -> frozenset[str] | None:
        return self.worker_kinds if service == "worker" else self._conduct(release).kinds

    async def failure_logs(self, release: str) -> str:
        return f"the last words of {release}" if release in self.live else ""

    # How changes come about.

    def _conduct(self, release: str) -> Conduct:
        tag = self.live.get(release, {}).get("image", {}).get("tag", "")
        return self.conduct.get(tag, Conduct())

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
