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
    Bad,
    Cluster,
    ClusterError,
    Event,
    Names,
    Options,
    Outcome,
    Phase,
    Refused,
    Release,
    RolloutError,
    Target,
    Tell,
    Unfinished,
)
from .releases import Releases, State
from .watch import Watch, passes

_GONE_BACK = "an earlier run had begun to go back, and that is done now"


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended, and why."""

    outcome: Outcome
    why: str


class Rollout:
    """One service on its way to a target; `run` forth, `abort` back."""

    def __init__(self, cluster: Cluster, target: Target, options: Options, tell: Tell) -> None:
        self._cluster = cluster
        self._target = target
        self._options = options
        self._tell = tell
        self._names = Names(target.service)
        self._releases = Releases(cluster, self._names)
        self._watch = Watch(cluster, self._names, options, tell)

    # What is asked for.

    async def run(self) -> Ended:
        """To the target, or back where it is bad. Raises Refused, ClusterError, Unfinished.

        Cancelled, it goes back first; cancelled again, it raises Unfinished.
        """
        async with self._cluster.lease(self._names.service, self._note) as abandoned:
            left = (await self._releases.read()).second
            state = await self._releases.settled(abandoned=abandoned)
            if state.second is None and left is not None and left.phase is Phase.UNDOING:
                return Ended(Outcome.UNDONE, _GONE_BACK)
            if state.primary is None:
                return await self._first_of_all(state)
            if state.second is None:
                if await self._cluster.values(state.primary.name) == self._target.values:
                    await self._watch.until_ready(state.primary.name)
                    return Ended(Outcome.UNCHANGED, f"{self._target.title} runs already")
                return await self._guarded(self._forth(state))
            return await self._resumed(state, state.second)

    async def abort(self) -> Ended:
        """Back to what was before, wherever the rollout stands. Raises as `run` does."""
        async with self._cluster.lease(self._names.service, self._note) as abandoned:
            left = (await self._releases.read()).second
            state = await self._releases.settled(abandoned=abandoned)
            if state.second is not None:
                _require_ours(state.second)
                return await self._back("called off")
            if left is None or left.phase is Phase.DONE:
                return Ended(Outcome.UNCHANGED, "no rollout is under way")
            return Ended(Outcome.UNDONE, _GONE_BACK)

    async def _resumed(self, state: State, second: Release) -> Ended:
        """Goes on with what an earlier run decided, or with its steps."""
        _require_ours(second)
        if second.phase is Phase.UNDOING:
            await self._back("an earlier run had begun to")
            return Ended(Outcome.UNDONE, _GONE_BACK)
        if second.labels.get(TARGET) != self._target.digest:
            raise Refused(
                f"a rollout of {self._names.service} to something else is under way: repeat that "
                "command to go on with it, or go back with --abort"
            )
        self._note(f"going on where an earlier run stopped ({second.phase})")
        if second.phase is Phase.DONE:
            return await self._cleaned()
        going = self._forth(state) if second.phase is Phase.TRYING else self._promotion()
        return await self._guarded(going)

    # Forth.

    async def _first_of_all(self, state: State) -> Ended:
        """The first installation: there is nothing beside it, so nothing to judge it by."""
        if state.second is not None:
            raise Refused(
                f"{state.second.name} is there without {self._names.primary}: take it away first"
            )
        primary = self._names.primary
        self._stage("install", f"{primary}: {self._target.title}, the first of all")
        try:
            await self._upgraded(primary, labels=self._labels())
            await self._watch.until_ready(primary)
        except (Bad, ClusterError) as error:
            self._stage("undo", f"going back: {error.detail}")
            await self._last_words(primary)
            await self._cluster.uninstall(primary)
            return Ended(Outcome.UNDONE, error.detail)
        return Ended(Outcome.PROMOTED, "installed")

    async def _forth(self, state: State) -> Ended:
        if self._names.routing and state.routing is None:
            raise Refused(
                f"there is no release {self._names.routing}: install istio/{self._names.service} "
                "first. Without a mesh nothing can be shared out: use helm upgrade"
            )
        reached = await self._weight()
        await self._second_release(state, max(reached or 0, self._options.steps[0]))
        if reached is None:
            await self._for_ourselves()
        for weight in self._options.steps:
            if weight >= (reached or 0):
                await self._step(weight)
        await self._mark({PHASE: Phase.PROMOTING, PROMOTION: "begun"})
        return await self._promotion()

    async def _second_release(self, state: State, weight: int) -> None:
        pods = await self._watch.pods_for(weight)
        second = self._names.second
        self._stage("second", f"{second}: {self._target.title}, {_pods(pods)} beside the old ones")
        if state.second is None or state.second.status != "deployed":
            labels = dict(state.second.labels) if state.second else self._first_labels(state)
            await self._upgraded(second, pods=pods, labels=labels)
        await self._watch.until_ready(second, pods)

    async def _upgraded(
        self, release: str, *, pods: int | None = None, labels: Mapping[str, str]
    ) -> None:
        """With its migration; its pods are not waited for."""
        await self._watch.until_upgraded(
            release,
            lambda: self._cluster.upgrade(release, self._target, pods=pods, labels=labels),
        )

    def _first_labels(self, state: State) -> dict[str, str]:
        labels = self._labels() | {PHASE: str(Phase.TRYING)}
        if state.primary:
            labels[PRIMARY_BEFORE] = str(state.primary.revision)
        if state.routing:
            labels[ROUTING_BEFORE] = str(state.routing.revision)
        return labels

    async def _for_ourselves(self) -> None:
        """Nobody is led to the new version but who asks by header."""
        await self._require_known_kinds()
        if self._names.routing:
            self._stage("header", "requests with `canary: true` reach the new version")
            await self._route(0)
        await self._cluster.test(self._names.second)
        self._note("it passed its own test (helm test)")
        if self._options.check:
            self._note(f"checking: {self._options.check}")
            await passes(self._options.check, self._options.patience)

    async def _require_known_kinds(self) -> None:
        """A kind of job is understood before it is produced."""
        if self._names.service == WORKER:
            return
        made = await self._cluster.job_kinds(self._names.service, self._names.second)
        known = await self._cluster.job_kinds(WORKER, WORKER)
        if made and known and (unknown := made - known):
            raise Bad(
                f"it makes jobs that the running worker does not know "
                f"({', '.join(sorted(unknown))}): roll out worker first"
            )

    async def _step(self, weight: int) -> None:
        pods = await self._watch.pods_for(weight)
        share = f"{weight} % of the requests" if self._names.routing else _pods(pods)
        self._stage(f"weight-{weight}", f"{share} to the new version", weight=weight)
        if (await self._cluster.workload(self._names.second)).wanted < pods:
            await self._cluster.upgrade(self._names.second, self._target, pods=pods, hooks=False)
            await self._watch.until_ready(self._names.second, pods)
        if await self._weight() != weight:
            await self._route(weight)
        await self._watch.judged(weight)

    async def _promotion(self) -> Ended:
        """The primary release becomes the same while the second one has the traffic."""
        state = await self._releases.read()
        second, primary = state.second, state.primary
        if second is None or primary is None:
            raise Unfinished("the releases changed under our hands: somebody else is at work")
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
            await self._watch.until_ready(primary.name, pods)
        else:
            await self._watch.until_ready(primary.name)
        self._stage("finish", "everybody is led back to it, and the second release goes")
        if await self._weight():
            await self._route(0)
        if self._names.routing:
            await self._cluster.route(self._names.service, None)
        await self._cluster.upgrade(primary.name, self._target, hooks=False, labels=self._labels())
        await self._mark({PHASE: Phase.DONE})
        return await self._cleaned()

    async def _cleaned(self) -> Ended:
        await self._cluster.uninstall(self._names.second)
        return Ended(Outcome.PROMOTED, f"{self._target.title} serves everybody")

    # Back.

    async def _guarded(self, going: Coroutine[Any, Any, Ended]) -> Ended:
        """Goes back where going forth fails or is called off."""
        try:
            return await going
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
            why = "called off"
        except (Bad, ClusterError) as error:
            why = error.detail
        return await self._back(why)

    async def _back(self, why: str) -> Ended:
        try:
            second = (await self._releases.read()).second
            if second is not None and second.phase is Phase.DONE:
                self._note(f"{why}, but the new version serves everybody already")
                return await self._cleaned()
            self._stage("undo", f"going back: {why}")
            await self._undo()
        except (RolloutError, asyncio.CancelledError) as error:
            said = error.detail if isinstance(error, RolloutError) else "stopped"
            raise Unfinished(
                f"going back ({why}) came to no end: {said}. Repeat the command with --abort "
                "once the cluster answers"
            ) from error
        return Ended(Outcome.UNDONE, why)

    async def _undo(self) -> None:
        """Traffic first, then the releases. Each step may be repeated."""
        second = (await self._releases.read()).second
        if second is not None and PROMOTION not in second.labels and await self._weight():
            await self._route(0)
        await self._last_words(self._names.second)
        second = (await self._releases.settled(abandoned=True)).second
        if second is None:
            return  # it never was in force, so nothing else was touched
        await self._cluster.label(second, {PHASE: Phase.UNDOING})
        if PROMOTION in second.labels:
            # The second release has the traffic, or both serve the same version.
            await self._cluster.rollback(self._names.primary, int(second.labels[PRIMARY_BEFORE]))
            await self._watch.until_ready(self._names.primary)
        if await self._weight():
            await self._route(0)
        if self._names.routing and ROUTING_BEFORE in second.labels:
            await self._cluster.rollback(self._names.routing, int(second.labels[ROUTING_BEFORE]))
        await self._cluster.uninstall(self._names.second)

    async def _last_words(self, release: str) -> None:
        with suppress(ClusterError):
            if words := await self._cluster.last_words(release):
                self._tell(Event("words", words, {"release": release}))

    # What both need.

    async def _weight(self) -> int | None:
        return await self._cluster.weight(self._names.routing) if self._names.routing else None

    async def _route(self, weight: int) -> None:
        if self._names.routing:
            await self._cluster.route(self._names.service, weight)
            self._note(f"{weight} % of the requests are led there", routed=weight)
            await asyncio.sleep(self._options.settle)

    async def _mark(self, labels: dict[str, str]) -> None:
        if (second := await self._cluster.release(self._names.second)) is not None:
            await self._cluster.label(second, labels)

    def _labels(self) -> dict[str, str]:
        return {TARGET: self._target.digest}

    def _stage(self, step: str, text: str, **facts: Any) -> None:
        self._tell(Event("stage", text, {"step": step, **facts}))

    def _note(self, text: str, **facts: Any) -> None:
        self._tell(Event("note", text, facts))


def _require_ours(second: Release) -> None:
    if second.phase is None:
        raise Refused(
            f"{second.name} is there, and no rollout made it: take it away first "
            f"(helm uninstall {second.name}), or go on with it by hand"
        )


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"
