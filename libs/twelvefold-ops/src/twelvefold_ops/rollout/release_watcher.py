"""Read the state of a service's releases, wait for their pods, and await verdicts.

Decides how long to wait, and what ends a wait early. The engine decides what follows.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from .canary_analysis import VerdictKind, VersionMetrics, Window, evaluate, evaluate_jobs
from .model import (
    WORKER,
    CandidateFailed,
    Cluster,
    Event,
    Options,
    Pod,
    Release,
    ReleaseNames,
    Report,
    RolloutRefused,
    Workload,
)

_POLL_INTERVAL = 1.0  # seconds
# The first start may fail because a server is unavailable for a moment.
_MAX_RESTARTS = 1
# Kubernetes' reasons for a container that cannot start.
_START_FAILURES = frozenset(
    {
        "ImagePullBackOff",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
_PERMANENT_REASONS = _START_FAILURES | {"CrashLoopBackOff"}


@dataclass(frozen=True, slots=True)
class ReleaseState:
    """A service's releases in the cluster; None where one is not installed."""

    primary: Release | None
    canary: Release | None
    routing: Release | None


class ReleaseWatcher:
    """Watches the primary and the canary release of one service."""

    def __init__(
        self, cluster: Cluster, names: ReleaseNames, options: Options, report: Report
    ) -> None:
        self._cluster = cluster
        self._names = names
        self._options = options
        self._report = report
        self._by_jobs = names.routing is None
        # Of the last window in which the old version had enough requests.
        self._last_baseline = VersionMetrics()

    async def read(self) -> ReleaseState:
        """Return the releases as they are."""
        routing = self._names.routing
        return ReleaseState(
            await self._cluster.release(self._names.primary),
            await self._cluster.release(self._names.canary),
            await self._cluster.release(routing) if routing else None,
        )

    async def recover(self, *, was_abandoned: bool) -> ReleaseState:
        """Remove the revisions that a killed Helm left pending, and return the releases.

        `was_abandoned`: the last rollout of this service was killed, so no Helm process of a
        rollout runs. Raises RolloutRefused where another process may be running Helm.
        """
        state = await self.read()
        for release in (state.primary, state.canary, state.routing):
            if release is None:
                continue
            if release.is_pending and not was_abandoned:
                raise RolloutRefused(
                    f"Helm is changing {release.name} ({release.status}), or was killed while it "
                    f"did: wait, or see helm history {release.name}"
                )
            if release.is_void and release is not state.routing:
                await self._cluster.uninstall(release.name)
            elif release.is_pending:
                await self._cluster.delete_revision(release)
        return await self.read()

    async def pods_for(self, weight: int) -> int:
        """Return how many pods serve `weight` percent of the traffic of the primary's pods."""
        primary = await self._cluster.workload(self._names.primary)
        return max(1, math.ceil(primary.desired * weight / 100))

    async def max_pods(self) -> int:
        """Return the number of pods of the larger release, at least 1."""
        primary = await self._cluster.workload(self._names.primary)
        canary = await self._cluster.workload(self._names.canary)
        return max(1, primary.desired, canary.desired)

    async def wait_until_upgraded(
        self, release: str, upgrade: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Run an upgrade of the release, during which Helm waits for its migration.

        Cancels the upgrade and raises CandidateFailed once the migration cannot start.
        """
        before = {pod.uid for pod in await self._cluster.hooks(release)}
        upgrading = asyncio.create_task(upgrade())
        try:
            while not (await asyncio.wait([upgrading], timeout=_POLL_INTERVAL))[0]:
                for pod in await self._cluster.hooks(release):
                    # The Job retries a migration that fails; Helm reports when the Job fails.
                    if pod.uid not in before and pod.waiting_reason in _START_FAILURES:
                        raise CandidateFailed(
                            f"{release}: {pod.name} does not start ({pod.waiting_reason})"
                        )
            await upgrading
        finally:
            upgrading.cancel()
            await asyncio.wait([upgrading])  # Helm needs time to record its end
            if not upgrading.cancelled():
                upgrading.exception()  # avoids "exception was never retrieved"

    async def wait_until_ready(self, release: str, pods: int = 0) -> None:
        """Wait until all pods, at least `pods`, are ready and of the present template.

        Raises CandidateFailed once one cannot become ready, or after `placement_timeout`.
        """
        deadline = time.monotonic() + self._options.placement_timeout
        reported = None
        while True:
            workload = await self._cluster.workload(release)
            progress = (workload.ready, workload.desired, workload.settled)
            if progress != reported:
                text = f"{release}: {workload.ready} of {workload.desired} pods ready"
                facts = {"release": release, "ready": workload.ready, "wanted": workload.desired}
                self._report(Event("pods", text, facts))
                reported = progress
            desired = max(pods, workload.desired)
            if workload.settled and workload.ready >= desired:
                return
            self._require_startable(release, workload)
            if time.monotonic() > deadline:
                raise CandidateFailed(
                    f"{release}: {workload.ready} of {desired} pods are ready after "
                    f"{self._options.placement_timeout:.0f} s"
                )
            await asyncio.sleep(_POLL_INTERVAL)

    def _require_startable(self, release: str, workload: Workload) -> None:
        for pod in workload.pods:
            if not pod.is_newest or pod.ready:
                continue
            if pod.waiting_reason in _PERMANENT_REASONS or pod.restarts > _MAX_RESTARTS:
                raise CandidateFailed(
                    f"{release}: {pod.name} does not start ({pod.waiting_reason or 'it crashes'})"
                )
            if pod.running_for > self._options.ready_timeout:
                raise CandidateFailed(
                    f"{release}: {pod.name} runs but is not ready after "
                    f"{self._options.ready_timeout:.0f} s"
                )

    async def await_verdict(self, weight: int) -> None:
        """Compare both versions until there is a verdict. Raises CandidateFailed if it is bad."""
        new, old, jobs = Window(), Window(), Window()
        crashes = _CrashDetector()
        started = time.monotonic()
        await self._sample(new, old, jobs, crashes)
        while True:
            await asyncio.sleep(self._options.poll_interval)
            await self._sample(new, old, jobs, crashes)
            elapsed = time.monotonic() - started
            baseline = self._baseline(old.metrics)
            verdict = evaluate(
                new.metrics,
                baseline,
                self._options.limits,
                by_jobs=self._by_jobs,
                is_complete=elapsed >= self._options.window,
            )
            if not self._by_jobs and verdict.kind is not VerdictKind.BAD:
                job_verdict = evaluate_jobs(jobs.metrics, self._options.limits)
                verdict = job_verdict if job_verdict.kind is VerdictKind.BAD else verdict
            self._report(
                Event(
                    "figures",
                    verdict.why,
                    {
                        "weight": weight,
                        "seconds": round(elapsed, 1),
                        "of": self._options.window,
                        "judgement": str(verdict.kind),
                        "new": _facts(new.metrics),
                        "old": _facts(baseline),
                    },
                )
            )
            if verdict.kind is VerdictKind.GOOD:
                return
            if verdict.kind is VerdictKind.BAD:
                raise CandidateFailed(verdict.why)
            if elapsed > max(self._options.patience, self._options.window):
                raise CandidateFailed(
                    f"no verdict after {elapsed:.0f} s: {verdict.why} (--min-requests sets how "
                    "many requests it needs, --patience how long to wait)"
                )

    def _baseline(self, now: VersionMetrics) -> VersionMetrics:
        """Return `now`, or the last metrics with enough requests if `now` has too few."""
        minimum = self._options.limits.requests
        if (now.runs if self._by_jobs else now.requests) >= minimum:
            self._last_baseline = now
            return now
        return self._last_baseline if self._last_baseline != VersionMetrics() else now

    async def _sample(
        self, new: Window, old: Window, jobs: Window, crashes: _CrashDetector
    ) -> None:
        threshold = self._options.limits.p99
        service = self._names.service
        new.add(await self._cluster.sample(service, self._names.canary, threshold))
        old.add(await self._cluster.sample(service, self._names.primary, threshold))
        if not self._by_jobs:
            jobs.add(await self._cluster.sample(WORKER, WORKER, threshold))
        workload = await self._cluster.workload(self._names.canary)
        crashes.check(workload.pods)


class _CrashDetector:
    """Detects restarts of the new version's containers."""

    def __init__(self) -> None:
        self._restarts: dict[str, int] = {}

    def check(self, pods: Sequence[Pod]) -> None:
        """Raises CandidateFailed where a container has restarted since the last call."""
        is_first_call = not self._restarts
        for pod in pods:
            before = self._restarts.get(pod.uid, pod.restarts if is_first_call else 0)
            if pod.restarts > before:
                raise CandidateFailed(f"{pod.name} crashed and restarted")
            self._restarts[pod.uid] = pod.restarts


def _facts(metrics: VersionMetrics) -> dict[str, float | int | None]:
    return {
        "requests": metrics.requests,
        "errors": metrics.errors,
        "error_ratio": round(metrics.error_ratio, 5),
        "p99": metrics.p99,
        "runs": metrics.runs,
        "failed_runs": metrics.failed_runs,
    }
