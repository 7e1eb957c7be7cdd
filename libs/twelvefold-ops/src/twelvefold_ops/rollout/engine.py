"""The steps of a rollout, and of its rollback.

Each step starts only where a rollback from it is safe. The engine reads the progress from the
cluster before each action, so that a run continues where another one was killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .checks import require_known_job_kinds, require_phase, require_routes, run_check
from .model import (
    PHASE,
    PRIMARY_BEFORE,
    PROMOTION,
    ROUTING_BEFORE,
    TARGET,
    CandidateFailed,
    Cluster,
    ClusterError,
    Event,
    Options,
    Phase,
    Release,
    Report,
    RolloutError,
    RolloutIncomplete,
    RolloutOutcome,
    RolloutRefused,
    Target,
)
from .release_watcher import ReleaseState, ReleaseWatcher

_ROLLED_BACK = "completed the rollback that an earlier run started"


@dataclass(frozen=True, slots=True)
class RolloutResult:
    """The outcome of a rollout, and the reason."""

    outcome: RolloutOutcome
    why: str


class Rollout:
    """Brings one service to a target version with `run`, or undoes a rollout with `abort`."""

    def __init__(self, cluster: Cluster, target: Target, options: Options, report: Report) -> None:
        self._cluster = cluster
        self._target = target
        self._options = options
        self._report = report
        self._names = target.names
        self._watcher = ReleaseWatcher(cluster, self._names, options, report)

    async def run(self) -> RolloutResult:
        """Roll out the target, or roll back where it fails.

        A cancelled run rolls back first; a second cancellation raises RolloutIncomplete.
        Raises RolloutRefused, ClusterError, RolloutIncomplete.
        """
        async with self._cluster.lease(self._names.service, self._note) as was_abandoned:
            canary_before = (await self._watcher.read()).canary
            state = await self._watcher.recover(was_abandoned=was_abandoned)
            if (
                state.canary is None
                and canary_before is not None
                and canary_before.phase is Phase.UNDOING
            ):
                return RolloutResult(RolloutOutcome.UNDONE, _ROLLED_BACK)
            if state.primary is None:
                return await self._install(state)
            if state.canary is None:
                if await self._cluster.values(state.primary.name) == self._target.values:
                    await self._watcher.wait_until_ready(state.primary.name)
                    return RolloutResult(
                        RolloutOutcome.UNCHANGED, f"{self._target.title} already runs"
                    )
                return await self._with_rollback(self._advance(state))
            return await self._resume(state, state.canary)

    async def abort(self) -> RolloutResult:
        """Undo the rollout, whatever its phase. Raises as `run` does."""
        async with self._cluster.lease(self._names.service, self._note) as was_abandoned:
            canary_before = (await self._watcher.read()).canary
            state = await self._watcher.recover(was_abandoned=was_abandoned)
            if state.canary is not None:
                require_phase(state.canary)
                return await self._roll_back("cancelled")
            if canary_before is None or canary_before.phase is Phase.DONE:
                return RolloutResult(RolloutOutcome.UNCHANGED, "no rollout is in progress")
            return RolloutResult(RolloutOutcome.UNDONE, _ROLLED_BACK)

    async def _resume(self, state: ReleaseState, canary: Release) -> RolloutResult:
        """Continue an earlier run in the direction that it decided on."""
        require_phase(canary)
        if canary.phase is Phase.UNDOING:
            await self._roll_back("an earlier run started the rollback")
            return RolloutResult(RolloutOutcome.UNDONE, _ROLLED_BACK)
        if canary.labels.get(TARGET) != self._target.digest:
            raise RolloutRefused(
                f"a rollout of {self._names.service} to another target is in progress: repeat that "
                "command to continue it, or undo it with --abort"
            )
        self._note(f"continuing an earlier run (phase: {canary.phase})")
        if canary.phase is Phase.DONE:
            return await self._remove_canary()
        steps = self._advance(state) if canary.phase is Phase.TRYING else self._promote()
        return await self._with_rollback(steps)

    # Rollout.

    async def _install(self, state: ReleaseState) -> RolloutResult:
        """Install the first version of the service, without an analysis."""
        if state.canary is not None:
            raise RolloutRefused(
                f"{state.canary.name} exists without {self._names.primary}: uninstall it first"
            )
        primary = self._names.primary
        self._stage("install", f"{primary}: {self._target.title}, first installation")
        try:
            await self._upgrade(primary, labels=self._labels())
            await self._watcher.wait_until_ready(primary)
        except (CandidateFailed, ClusterError) as error:
            self._stage("undo", f"rolling back: {error.detail}")
            await self._report_failure_logs(primary)
            await self._cluster.uninstall(primary)
            return RolloutResult(RolloutOutcome.UNDONE, error.detail)
        return RolloutResult(RolloutOutcome.PROMOTED, "installed")

    async def _advance(self, state: ReleaseState) -> RolloutResult:
        await require_routes(self._cluster, self._names, state.routing)
        reached = await self._read_weight()
        await self._deploy_canary(state, max(reached or 0, self._options.steps[0]))
        if reached is None:
            await self._test_canary()
        for weight in self._options.steps:
            if weight >= (reached or 0):
                await self._run_step(weight)
        await self._label_canary({PHASE: Phase.PROMOTING, PROMOTION: "begun"})
        return await self._promote()

    async def _deploy_canary(self, state: ReleaseState, weight: int) -> None:
        pods = await self._watcher.pods_for(weight)
        canary = self._names.canary
        self._stage("second", f"{canary}: {self._target.title}, {_format_pods(pods)} added")
        if state.canary is None or state.canary.status != "deployed":
            labels = dict(state.canary.labels) if state.canary else self._initial_labels(state)
            await self._upgrade(canary, pods=pods, labels=labels)
        await self._watcher.wait_until_ready(canary, pods)

    async def _upgrade(
        self, release: str, *, pods: int | None = None, labels: Mapping[str, str]
    ) -> None:
        """Upgrade with the migration, and do not wait for the pods."""
        await self._watcher.wait_until_upgraded(
            release,
            lambda: self._cluster.upgrade(release, self._target, pods=pods, labels=labels),
        )

    def _initial_labels(self, state: ReleaseState) -> dict[str, str]:
        labels = self._labels() | {PHASE: str(Phase.TRYING)}
        if state.primary:
            labels[PRIMARY_BEFORE] = str(state.primary.revision)
        if state.routing:
            labels[ROUTING_BEFORE] = str(state.routing.revision)
        return labels

    async def _test_canary(self) -> None:
        """Test the canary while only requests with `canary: true` reach it."""
        await require_known_job_kinds(self._cluster, self._names)
        if self._names.routing:
            self._stage("header", "requests with `canary: true` reach the new version")
            await self._route(0)
        await self._cluster.test(self._names.canary)
        self._note("the canary passed its test (helm test)")
        if self._options.check:
            self._note(f"running the check: {self._options.check}")
            await run_check(self._options.check, self._options.patience)

    async def _run_step(self, weight: int) -> None:
        pods = await self._watcher.pods_for(weight)
        share = f"{weight} % of the requests" if self._names.routing else _format_pods(pods)
        self._stage(f"weight-{weight}", f"{share} to the new version", weight=weight)
        if (await self._cluster.workload(self._names.canary)).desired < pods:
            await self._cluster.upgrade(self._names.canary, self._target, pods=pods, hooks=False)
            await self._watcher.wait_until_ready(self._names.canary, pods)
        if await self._read_weight() != weight:
            await self._route(weight)
        await self._watcher.await_verdict(weight)

    async def _promote(self) -> RolloutResult:
        """Upgrade the primary while the canary serves all traffic, then remove the canary."""
        state = await self._watcher.read()
        canary, primary = state.canary, state.primary
        if canary is None or primary is None:
            raise RolloutIncomplete("another process changed the releases")
        self._stage("promotion", f"{primary.name}: {self._target.title}")
        is_new = (
            primary.revision > int(canary.labels.get(PRIMARY_BEFORE, "0"))
            and primary.status == "deployed"
            and primary.labels.get(TARGET) == self._target.digest
        )
        pods = await self._watcher.max_pods()
        if not is_new:
            # An autoscaler would add pods too late for all of the traffic.
            await self._upgrade(primary.name, pods=pods, labels=self._labels())
            await self._watcher.wait_until_ready(primary.name, pods)
        else:
            await self._watcher.wait_until_ready(primary.name)
        self._stage("finish", "all traffic goes to the primary; removing the canary")
        if await self._read_weight():
            await self._route(0)
        if self._names.routing:
            await self._cluster.route(self._names.service, None)
        await self._cluster.upgrade(primary.name, self._target, hooks=False, labels=self._labels())
        await self._label_canary({PHASE: Phase.DONE})
        return await self._remove_canary()

    async def _remove_canary(self) -> RolloutResult:
        await self._cluster.uninstall(self._names.canary)
        return RolloutResult(RolloutOutcome.PROMOTED, f"{self._target.title} serves all traffic")

    # Rollback.

    async def _with_rollback(self, steps: Coroutine[Any, Any, RolloutResult]) -> RolloutResult:
        """Roll back where the steps fail or are cancelled."""
        try:
            return await steps
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
            why = "cancelled"
        except (CandidateFailed, ClusterError) as error:
            why = error.detail
        return await self._roll_back(why)

    async def _roll_back(self, why: str) -> RolloutResult:
        try:
            canary = (await self._watcher.read()).canary
            if canary is not None and canary.phase is Phase.DONE:
                self._note(f"{why}, but the new version already serves all traffic")
                return await self._remove_canary()
            self._stage("undo", f"rolling back: {why}")
            await self._undo()
        except (RolloutError, asyncio.CancelledError) as error:
            reason = error.detail if isinstance(error, RolloutError) else "stopped"
            raise RolloutIncomplete(
                f"rollback incomplete ({why}): {reason}. Repeat the command with --abort "
                "once the cluster responds"
            ) from error
        return RolloutResult(RolloutOutcome.UNDONE, why)

    async def _undo(self) -> None:
        """Restore the routing first, then the releases. Each step is idempotent."""
        canary = (await self._watcher.read()).canary
        if canary is not None and PROMOTION not in canary.labels and await self._read_weight():
            await self._route(0)
        await self._report_failure_logs(self._names.canary)
        canary = (await self._watcher.recover(was_abandoned=True)).canary
        if canary is None:
            return  # it was never deployed, so nothing else has changed
        await self._cluster.label(canary, {PHASE: Phase.UNDOING})
        if PROMOTION in canary.labels:
            # The canary has all traffic, or both releases serve the same version.
            await self._cluster.rollback(self._names.primary, int(canary.labels[PRIMARY_BEFORE]))
            await self._watcher.wait_until_ready(self._names.primary)
        if await self._read_weight():
            await self._route(0)
        if self._names.routing and ROUTING_BEFORE in canary.labels:
            await self._cluster.rollback(self._names.routing, int(canary.labels[ROUTING_BEFORE]))
        await self._cluster.uninstall(self._names.canary)

    async def _report_failure_logs(self, release: str) -> None:
        with suppress(ClusterError):
            if logs := await self._cluster.failure_logs(release):
                self._report(Event("words", logs, {"release": release}))

    # Both directions.

    async def _read_weight(self) -> int | None:
        return await self._cluster.weight(self._names.routing) if self._names.routing else None

    async def _route(self, weight: int) -> None:
        if self._names.routing:
            await self._cluster.route(self._names.service, weight)
            self._note(f"the canary gets {weight} % of the requests", routed=weight)
            await asyncio.sleep(self._options.propagation_delay)

    async def _label_canary(self, labels: dict[str, str]) -> None:
        if (canary := await self._cluster.release(self._names.canary)) is not None:
            await self._cluster.label(canary, labels)

    def _labels(self) -> dict[str, str]:
        return {TARGET: self._target.digest}

    def _stage(self, step: str, text: str, **facts: Any) -> None:
        self._report(Event("stage", text, {"step": step, **facts}))

    def _note(self, text: str, **facts: Any) -> None:
        self._report(Event("note", text, facts))


def _format_pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"
