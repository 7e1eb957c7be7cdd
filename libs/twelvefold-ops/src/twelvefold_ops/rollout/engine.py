"""The order of a rollout's steps, forth and back.

Owns what is decided: each step is taken only where going back from it is safe, and what has been
reached is read from the cluster before anything is done, so that a run goes on where another one
was killed. Knows releases and shares, not how they are brought about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .model import (
    PHASE,
    PRIMARY_BEFORE,
    PROMOTION,
    ROUTING_BEFORE,
    TARGET,
    WORKER,
    CandidateFailed,
    Cluster,
    ClusterError,
    Event,
    Options,
    Phase,
    Release,
    ReleaseNames,
    Report,
    RolloutError,
    RolloutIncomplete,
    RolloutOutcome,
    RolloutRefused,
    Target,
)
from .release_watcher import ReleaseWatcher, run_check
from .releases import Releases, ReleaseState

_ROLLED_BACK = "an earlier run had begun to go back, and that is done now"


@dataclass(frozen=True, slots=True)
class RolloutResult:
    """How it ended, and why."""

    outcome: RolloutOutcome
    why: str


class Rollout:
    """One service on its way to a target; `run` forth, `abort` back."""

    def __init__(self, cluster: Cluster, target: Target, options: Options, report: Report) -> None:
        self._cluster = cluster
        self._target = target
        self._options = options
        self._report = report
        self._names = ReleaseNames(target.service)
        self._releases = Releases(cluster, self._names)
        self._watch = ReleaseWatcher(cluster, self._names, options, report)

    # What is asked for.

    async def run(self) -> RolloutResult:
        """To the target, or back where it is bad. Raises Refused, ClusterError, Unfinished.

        Cancelled, it goes back first; cancelled again, it raises Unfinished.
        """
        async with self._cluster.lease(self._names.service, self._note) as abandoned:
            left = (await self._releases.read()).canary
            state = await self._releases.recover(was_abandoned=abandoned)
            if state.canary is None and left is not None and left.phase is Phase.UNDOING:
                return RolloutResult(RolloutOutcome.UNDONE, _ROLLED_BACK)
            if state.primary is None:
                return await self._first_of_all(state)
            if state.canary is None:
                if await self._cluster.values(state.primary.name) == self._target.values:
                    await self._watch.wait_until_ready(state.primary.name)
                    return RolloutResult(
                        RolloutOutcome.UNCHANGED, f"{self._target.title} runs already"
                    )
                return await self._with_rollback(self._advance(state))
            return await self._resumed(state, state.canary)

    async def abort(self) -> RolloutResult:
        """Back to what was before, wherever the rollout stands. Raises as `run` does."""
        async with self._cluster.lease(self._names.service, self._note) as abandoned:
            left = (await self._releases.read()).canary
            state = await self._releases.recover(was_abandoned=abandoned)
            if state.canary is not None:
                _require_ours(state.canary)
                return await self._roll_back("called off")
            if left is None or left.phase is Phase.DONE:
                return RolloutResult(RolloutOutcome.UNCHANGED, "no rollout is under way")
            return RolloutResult(RolloutOutcome.UNDONE, _ROLLED_BACK)

    async def _resumed(self, state: ReleaseState, canary: Release) -> RolloutResult:
        """Goes on with what an earlier run decided, or with its steps."""
        _require_ours(canary)
        if canary.phase is Phase.UNDOING:
            await self._roll_back("an earlier run had begun to")
            return RolloutResult(RolloutOutcome.UNDONE, _ROLLED_BACK)
        if canary.labels.get(TARGET) != self._target.digest:
            raise RolloutRefused(
                f"a rollout of {self._names.service} to something else is under way: repeat that "
                "command to go on with it, or go back with --abort"
            )
        self._note(f"going on where an earlier run stopped ({canary.phase})")
        if canary.phase is Phase.DONE:
            return await self._cleaned()
        going = self._advance(state) if canary.phase is Phase.TRYING else self._promotion()
        return await self._with_rollback(going)

    # Forth.

    async def _first_of_all(self, state: ReleaseState) -> RolloutResult:
        """The first installation: there is nothing beside it, so nothing to judge it by."""
        if state.canary is not None:
            raise RolloutRefused(
                f"{state.canary.name} is there without {self._names.primary}: take it away first"
            )
        primary = self._names.primary
        self._stage("install", f"{primary}: {self._target.title}, the first of all")
        try:
            await self._upgraded(primary, labels=self._labels())
            await self._watch.wait_until_ready(primary)
        except (CandidateFailed, ClusterError) as error:
            self._stage("undo", f"rolling back: {error.detail}")
            await self._failure_logs(primary)
            await self._cluster.uninstall(primary)
            return RolloutResult(RolloutOutcome.UNDONE, error.detail)
        return RolloutResult(RolloutOutcome.PROMOTED, "installed")

    async def _advance(self, state: ReleaseState) -> RolloutResult:
        if self._names.routing and state.routing is None:
            raise RolloutRefused(
                f"there is no release {self._names.routing}: install istio/{self._names.service} "
                "first. Without a mesh nothing can be shared out: use helm upgrade"
            )
        reached = await self._weight()
        await self._canary_release(state, max(reached or 0, self._options.steps[0]))
        if reached is None:
            await self._test_canary()
        for weight in self._options.steps:
            if weight >= (reached or 0):
                await self._step(weight)
        await self._mark({PHASE: Phase.PROMOTING, PROMOTION: "begun"})
        return await self._promotion()

    async def _canary_release(self, state: ReleaseState, weight: int) -> None:
        pods = await self._watch.pods_for(weight)
        second = self._names.canary
        self._stage("second", f"{second}: {self._target.title}, {_pods(pods)} beside the old ones")
        if state.canary is None or state.canary.status != "deployed":
            labels = dict(state.canary.labels) if state.canary else self._first_labels(state)
            await self._upgraded(second, pods=pods, labels=labels)
        await self._watch.wait_until_ready(second, pods)

    async def _upgraded(
        self, release: str, *, pods: int | None = None, labels: Mapping[str, str]
    ) -> None:
        """With its migration; its pods are not waited for."""
        await self._watch.wait_until_upgraded(
            release,
            lambda: self._cluster.upgrade(release, self._target, pods=pods, labels=labels),
        )

    def _first_labels(self, state: ReleaseState) -> dict[str, str]:
        labels = self._labels() | {PHASE: str(Phase.TRYING)}
        if state.primary:
            labels[PRIMARY_BEFORE] = str(state.primary.revision)
        if state.routing:
            labels[ROUTING_BEFORE] = str(state.routing.revision)
        return labels

    async def _test_canary(self) -> None:
        """Nobody is led to the new version but who asks by header."""
        await self._require_known_kinds()
        if self._names.routing:
            self._stage("header", "requests with `canary: true` reach the new version")
            await self._route(0)
        await self._cluster.test(self._names.canary)
        self._note("it passed its own test (helm test)")
        if self._options.check:
            self._note(f"checking: {self._options.check}")
            await run_check(self._options.check, self._options.patience)

    async def _require_known_kinds(self) -> None:
        """A kind of job is understood before it is produced."""
        if self._names.service == WORKER:
            return
        made = await self._cluster.job_kinds(self._names.service, self._names.canary)
        known = await self._cluster.job_kinds(WORKER, WORKER)
        if made and known and (unknown := made - known):
            raise CandidateFailed(
                f"it makes jobs that the running worker does not know "
                f"({', '.join(sorted(unknown))}): roll out worker first"
            )

    async def _step(self, weight: int) -> None:
        pods = await self._watch.pods_for(weight)
        share = f"{weight} % of the requests" if self._names.routing else _pods(pods)
        self._stage(f"weight-{weight}", f"{share} to the new version", weight=weight)
        if (await self._cluster.workload(self._names.canary)).wanted < pods:
            await self._cluster.upgrade(self._names.canary, self._target, pods=pods, hooks=False)
            await self._watch.wait_until_ready(self._names.canary, pods)
        if await self._weight() != weight:
            await self._route(weight)
        await self._watch.await_verdict(weight)

    async def _promotion(self) -> RolloutResult:
        """The primary release becomes the same while the second one has the traffic."""
        state = await self._releases.read()
        second, primary = state.canary, state.primary
        if second is None or primary is None:
            raise RolloutIncomplete("another process changed the releases")
        self._stage("promotion", f"{primary.name}: {self._target.title}")
        is_new = (
            primary.revision > int(second.labels.get(PRIMARY_BEFORE, "0"))
            and primary.status == "deployed"
            and primary.labels.get(TARGET) == self._target.digest
        )
        pods = await self._watch.pods_of_both()
        if not is_new:
            # As many as share the traffic now: an autoscaler would be late.
            await self._upgraded(primary.name, pods=pods, labels=self._labels())
            await self._watch.wait_until_ready(primary.name, pods)
        else:
            await self._watch.wait_until_ready(primary.name)
        self._stage("finish", "all traffic goes to the primary; removing the canary")
        if await self._weight():
            await self._route(0)
        if self._names.routing:
            await self._cluster.route(self._names.service, None)
        await self._cluster.upgrade(primary.name, self._target, hooks=False, labels=self._labels())
        await self._mark({PHASE: Phase.DONE})
        return await self._cleaned()

    async def _cleaned(self) -> RolloutResult:
        await self._cluster.uninstall(self._names.canary)
        return RolloutResult(RolloutOutcome.PROMOTED, f"{self._target.title} serves everybody")

    # Back.

    async def _with_rollback(self, going: Coroutine[Any, Any, RolloutResult]) -> RolloutResult:
        """Goes back where going forth fails or is called off."""
        try:
            return await going
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
            why = "called off"
        except (CandidateFailed, ClusterError) as error:
            why = error.detail
        return await self._roll_back(why)

    async def _roll_back(self, why: str) -> RolloutResult:
        try:
            second = (await self._releases.read()).canary
            if second is not None and second.phase is Phase.DONE:
                self._note(f"{why}, but the new version serves everybody already")
                return await self._cleaned()
            self._stage("undo", f"rolling back: {why}")
            await self._undo()
        except (RolloutError, asyncio.CancelledError) as error:
            output = error.detail if isinstance(error, RolloutError) else "stopped"
            raise RolloutIncomplete(
                f"rollback incomplete ({why}): {output}. Repeat the command with --abort "
                "once the cluster answers"
            ) from error
        return RolloutResult(RolloutOutcome.UNDONE, why)

    async def _undo(self) -> None:
        """Traffic first, then the releases. Each step may be repeated."""
        second = (await self._releases.read()).canary
        if second is not None and PROMOTION not in second.labels and await self._weight():
            await self._route(0)
        await self._failure_logs(self._names.canary)
        second = (await self._releases.recover(was_abandoned=True)).canary
        if second is None:
            return  # it never was in force, so nothing else was touched
        await self._cluster.label(second, {PHASE: Phase.UNDOING})
        if PROMOTION in second.labels:
            # The second release has the traffic, or both serve the same version.
            await self._cluster.rollback(self._names.primary, int(second.labels[PRIMARY_BEFORE]))
            await self._watch.wait_until_ready(self._names.primary)
        if await self._weight():
            await self._route(0)
        if self._names.routing and ROUTING_BEFORE in second.labels:
            await self._cluster.rollback(self._names.routing, int(second.labels[ROUTING_BEFORE]))
        await self._cluster.uninstall(self._names.canary)

    async def _failure_logs(self, release: str) -> None:
        with suppress(ClusterError):
            if words := await self._cluster.failure_logs(release):
                self._report(Event("words", words, {"release": release}))

    # What both need.

    async def _weight(self) -> int | None:
        return await self._cluster.weight(self._names.routing) if self._names.routing else None

    async def _route(self, weight: int) -> None:
        if self._names.routing:
            await self._cluster.route(self._names.service, weight)
            self._note(f"{weight} % of the requests are led there", routed=weight)
            await asyncio.sleep(self._options.settle)

    async def _mark(self, labels: dict[str, str]) -> None:
        if (second := await self._cluster.release(self._names.canary)) is not None:
            await self._cluster.label(second, labels)

    def _labels(self) -> dict[str, str]:
        return {TARGET: self._target.digest}

    def _stage(self, step: str, text: str, **facts: Any) -> None:
        self._report(Event("stage", text, {"step": step, **facts}))

    def _note(self, text: str, **facts: Any) -> None:
        self._report(Event("note", text, facts))


def _require_ours(canary: Release) -> None:
    if canary.phase is None:
        raise RolloutRefused(
            f"{canary.name} is there, and no rollout made it: take it away first "
            f"(helm uninstall {canary.name}), or go on with it by hand"
        )


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"
