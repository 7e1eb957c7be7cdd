"""What a canary must be and pass before it gets requests; the user's command is one of it."""

from __future__ import annotations

import asyncio
import os
import signal

from .model import WORKER, CandidateFailed, Cluster, Release, ReleaseNames, RolloutRefused

_GRACE = 5.0  # seconds from SIGTERM to SIGKILL


async def require_known_job_kinds(cluster: Cluster, names: ReleaseNames) -> None:
    """Raise CandidateFailed where the new version enqueues jobs that worker cannot run."""
    if names.routing is None:  # it runs jobs itself
        return
    enqueued = await cluster.job_kinds(names.service, names.canary)
    known = await cluster.job_kinds(WORKER, WORKER)
    if enqueued and known and (unknown := enqueued - known):
        raise CandidateFailed(
            f"the new version enqueues jobs that the running worker does not know "
            f"({', '.join(sorted(unknown))}): roll out worker first"
        )


async def require_routes(cluster: Cluster, names: ReleaseNames, routing: Release | None) -> None:
    """Raise RolloutRefused where nothing can divide the requests between two releases."""
    if names.routing is None:
        return
    if routing is None:
        raise RolloutRefused(
            f"no release {names.routing}: install istio/{names.service} first. Without a mesh and "
            "without HTTPRoutes the traffic cannot be divided: use helm upgrade"
        )
    if not await cluster.has_routes(names.routing):
        raise RolloutRefused(
            f"{names.routing} has no routes, as in an ambient mesh without a waypoint, so that the "
            "traffic cannot be divided: use helm upgrade"
        )


def require_phase(canary: Release) -> None:
    """Raise RolloutRefused for a canary release that no rollout created."""
    if canary.phase is None:
        raise RolloutRefused(
            f"no rollout created {canary.name}: uninstall it first (helm uninstall "
            f"{canary.name}), or continue by hand"
        )


async def run_check(command: str, within: float) -> None:
    """Run `command` in a shell, in its own process group, for at most `within` seconds.

    Raises CandidateFailed where it exits with an error or times out.
    """
    process = await asyncio.create_subprocess_shell(command, start_new_session=True)
    try:
        async with asyncio.timeout(within):
            code = await process.wait()
    except TimeoutError:
        raise CandidateFailed(f"the check timed out after {within:.0f} s: {command}") from None
    finally:
        if process.returncode is None:
            await _terminate_group(process)
    if code:
        raise CandidateFailed(f"the check failed with exit code {code}: {command}")


async def _terminate_group(process: asyncio.subprocess.Process) -> None:
    """End the shell and the processes that it started."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(_GRACE):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
