"""Waiting for pods, and watching both versions' figures.

Owns patience: how long is waited, and what ends it early. What is done about it is the engine's.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from .canary_analysis import VerdictKind, VersionMetrics, Window, evaluate, evaluate_jobs
from .model import (
    WORKER,
    CandidateFailed,
    Cluster,
    Event,
    Options,
    Pod,
    ReleaseNames,
    Report,
    Workload,
)

_POLL = 1.0  # seconds
_GRACE = 5.0  # seconds that a check has to tidy up
_CRASHES = 2  # a start may fail once: a server that was just away
# Kubernetes' words for a container that will not run however long one waits.
_UNSTARTABLE = frozenset(
    {
        "ImagePullBackOff",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
_HOPELESS = _UNSTARTABLE | {"CrashLoopBackOff"}


async def run_check(command: str, within: float) -> None:
    """Runs a command of the user's in a shell. Raises Bad where it fails, or has not ended in time."""
    process = await asyncio.create_subprocess_shell(command, start_new_session=True)
    try:
        async with asyncio.timeout(within):
            code = await process.wait()
    except TimeoutError:
        raise CandidateFailed(f"the check had not ended after {within:.0f} s: {command}") from None
    finally:
        if process.returncode is None:
            await _ended(process)
    if code:
        raise CandidateFailed(f"the check ended with {code}: {command}")


async def _ended(process: asyncio.subprocess.Process) -> None:
    """With what the shell has started."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(_GRACE):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


class ReleaseWatcher:
    """Looks at the pods of a service's two releases until something is certain."""

    def __init__(
        self, cluster: Cluster, names: ReleaseNames, options: Options, report: Report
    ) -> None:
        self._cluster = cluster
        self._names = names
        self._options = options
        self._report = report
        self._by_jobs = names.service == WORKER
        self._old = VersionMetrics()  # of the last window in which the old version had enough to do

    async def pods_for(self, weight: int) -> int:
        """How many pods carry a share of what the primary release's carry now."""
        primary = await self._cluster.workload(self._names.primary)
        return max(1, math.ceil(primary.wanted * weight / 100))

    async def pods_of_both(self) -> int:
        """How many pods the bigger release has."""
        primary = await self._cluster.workload(self._names.primary)
        second = await self._cluster.workload(self._names.canary)
        return max(1, primary.wanted, second.wanted)

    async def wait_until_upgraded(
        self, release: str, upgrade: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Begins and awaits an upgrade of the release, whose migration Helm waits for.

        Raises Bad, with the upgrade ended, once it is certain that the migration will not start.
        """
        before = {pod.uid for pod in await self._cluster.hooks(release)}
        upgrading = asyncio.create_task(upgrade())
        try:
            while not (await asyncio.wait([upgrading], timeout=_POLL))[0]:
                for pod in await self._cluster.hooks(release):
                    # One that fails is tried again, by its Job; Helm says when that gives up.
                    if pod.uid not in before and pod.waiting_reason in _UNSTARTABLE:
                        raise CandidateFailed(
                            f"{release}: {pod.name} does not start ({pod.waiting_reason})"
                        )
            await upgrading
        finally:
            upgrading.cancel()
            await asyncio.wait([upgrading])  # Helm takes its time to end in order
            if not upgrading.cancelled():
                upgrading.exception()  # looked at, so that it is not reported as never retrieved

    async def wait_until_ready(self, release: str, pods: int = 0) -> None:
        """Until all pods of the release are of its present template and ready, `pods` at least.

        Raises Bad as soon as it is certain that they will not be, or after `placed_within`.
        """
        deadline = time.monotonic() + self._options.placed_within
        shown = None
        while True:
            workload = await self._cluster.workload(release)
            if shown != (shown := (workload.ready, workload.wanted, workload.settled)):
                text = f"{release}: {workload.ready} of {workload.wanted} pods ready"
                facts = {"release": release, "ready": workload.ready, "wanted": workload.wanted}
                self._report(Event("pods", text, facts))
            wanted = max(pods, workload.wanted)
            if workload.settled and workload.ready >= wanted:
                return
            self._require_hope(release, workload)
            if time.monotonic() > deadline:
                raise CandidateFailed(
                    f"{release}: {workload.ready} of {wanted} pods are ready after "
                    f"{self._options.placed_within:.0f} s"
                )
            await asyncio.sleep(_POLL)

    def _require_hope(self, release: str, workload: Workload) -> None:
        for pod in workload.pods:
            if not pod.is_newest or pod.ready:
                continue
            if pod.waiting_reason in _HOPELESS or pod.restarts >= _CRASHES:
                raise CandidateFailed(
                    f"{release}: {pod.name} does not start ({pod.waiting_reason or 'it crashes'})"
                )
            if pod.running_for > self._options.ready_within:
                raise CandidateFailed(
                    f"{release}: {pod.name} runs and is not ready after "
                    f"{self._options.ready_within:.0f} s"
                )

    async def await_verdict(self, weight: int) -> None:
        """Watches both versions until there is a verdict. Raises Bad where that is bad."""
        new, old, jobs = Window(), Window(), Window()
        crashes = _Crashes()
        began = time.monotonic()
        await self._poll(new, old, jobs, crashes)
        while True:
            await asyncio.sleep(self._options.interval)
            await self._poll(new, old, jobs, crashes)
            elapsed = time.monotonic() - began
            baseline = self._baseline(old.figures)
            verdict = evaluate(
                new.figures,
                baseline,
                self._options.limits,
                by_jobs=self._by_jobs,
                over=elapsed >= self._options.window,
            )
            if not self._by_jobs and verdict.judgement is not VerdictKind.BAD:
                of_jobs = evaluate_jobs(jobs.figures, self._options.limits)
                verdict = of_jobs if of_jobs.judgement is VerdictKind.BAD else verdict
            self._report(
                Event(
                    "figures",
                    verdict.why,
                    {
                        "weight": weight,
                        "seconds": round(elapsed, 1),
                        "of": self._options.window,
                        "judgement": str(verdict.judgement),
                        "new": _facts(new.figures),
                        "old": _facts(baseline),
                    },
                )
            )
            if verdict.judgement is VerdictKind.GOOD:
                return
            if verdict.judgement is VerdictKind.BAD:
                raise CandidateFailed(verdict.why)
            if elapsed > max(self._options.patience, self._options.window):
                raise CandidateFailed(
                    f"no verdict after {elapsed:.0f} s: {verdict.why} (--min-requests says how "
                    "many it takes, --patience how long is waited)"
                )

    def _baseline(self, now: VersionMetrics) -> VersionMetrics:
        """Where the old version has too little to do, what it did before."""
        enough = self._options.limits.requests
        if (now.runs if self._by_jobs else now.requests) >= enough:
            self._old = now
            return now
        return self._old if self._old != VersionMetrics() else now

    async def _poll(self, new: Window, old: Window, jobs: Window, crashes: _Crashes) -> None:
        threshold = self._options.limits.p99
        service = self._names.service
        new.take(await self._cluster.sample(service, self._names.canary, threshold))
        old.take(await self._cluster.sample(service, self._names.primary, threshold))
        if not self._by_jobs:
            jobs.take(await self._cluster.sample(WORKER, WORKER, threshold))
        workload = await self._cluster.workload(self._names.canary)
        crashes.take({pod.uid: pod for pod in workload.pods})


class _Crashes:
    """Restarts of the new version's containers."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def take(self, pods: Mapping[str, Pod]) -> None:
        """Raises Bad where a container was started again since the last look."""
        for uid, pod in pods.items():
            if pod.restarts > self._seen.get(uid, pod.restarts if not self._seen else 0):
                raise CandidateFailed(f"{pod.name} crashed and was started again")
            self._seen[uid] = pod.restarts


def _facts(figures: VersionMetrics) -> dict[str, float | int | None]:
    return {
        "requests": figures.requests,
        "errors": figures.errors,
        "error_ratio": round(figures.error_ratio, 5),
        "p99": figures.p99,
        "runs": figures.runs,
        "failed_runs": figures.failed_runs,
    }
