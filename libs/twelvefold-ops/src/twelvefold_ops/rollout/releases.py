"""The releases that a rollout is about, as they stand, and what Helm was killed at."""

from __future__ import annotations

from dataclasses import dataclass

from .model import Cluster, Release, ReleaseNames, RolloutRefused


@dataclass(frozen=True, slots=True)
class ReleaseState:
    """What stands in the cluster."""

    primary: Release | None
    canary: Release | None
    routing: Release | None


class Releases:
    """Reads the releases of a service, and clears away what is neither old nor new."""

    def __init__(self, cluster: Cluster, names: ReleaseNames) -> None:
        self._cluster = cluster
        self._names = names

    async def read(self) -> ReleaseState:
        """The releases as they are."""
        routing = self._names.routing
        return ReleaseState(
            await self._cluster.release(self._names.primary),
            await self._cluster.release(self._names.canary),
            await self._cluster.release(routing) if routing else None,
        )

    async def recover(self, *, was_abandoned: bool) -> ReleaseState:
        """The releases, once what Helm was killed at is out of the way.

        `was_abandoned`: it was on our behalf, and nobody is at work now. Raises Refused where Helm may be
        at work for somebody else.
        """
        state = await self.read()
        for release in (state.primary, state.canary, state.routing):
            if release is None:
                continue
            if release.is_pending and not was_abandoned:
                raise RolloutRefused(
                    f"Helm is at work on {release.name} ({release.status}), or was killed at it: "
                    f"wait, or see helm history {release.name}"
                )
            if release.is_void and release is not state.routing:
                await self._cluster.uninstall(release.name)
            elif release.is_pending:
                await self._cluster.delete_revision(release)
        return await self.read()
