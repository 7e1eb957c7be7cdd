"""What a pod's status says, in the words of a rollout."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from .model import Pod

_ON_ITS_WAY = frozenset({"ContainerCreating", "PodInitializing"})


def pod_of(pod: Any, *, is_newest: bool) -> Pod:
    """The pod that the API server described."""
    status = pod.status
    containers = list(status.containerStatuses or []) if status else []
    conditions = {one.type: one for one in (status.conditions or [])} if status else {}
    ready = conditions.get("Ready")
    return Pod(
        name=pod.metadata.name,
        uid=pod.metadata.uid,
        ready=ready is not None and ready.status == "True",
        restarts=sum(one.restartCount for one in containers),
        running_for=min((_running_for(one) for one in containers), default=0.0),
        is_newest=is_newest,
        waiting_reason=_waiting_reason(status, containers, conditions),
    )


def running(pod: Any, container: str) -> int | None:
    """The management port of a container that runs."""
    statuses = (pod.status.containerStatuses or []) if pod.status else []
    if not any(one.name == container and one.state and one.state.running for one in statuses):
        return None
    for spec in pod.spec.containers:
        if spec.name == container:
            for port in spec.ports or []:
                if port.name == "management":
                    return int(port.containerPort)
    return None


def _running_for(container: Any) -> float:
    state = container.state.running if container.state else None
    if state is None or state.startedAt is None:
        return 0.0
    since: datetime = state.startedAt
    return max(0.0, (datetime.now(UTC) - since).total_seconds())


def _waiting_reason(status: Any, containers: list[Any], conditions: dict[str, Any]) -> str | None:
    initial = list(status.initContainerStatuses or []) if status else []
    for one in (*initial, *containers):
        waiting = one.state.waiting if one.state else None
        if waiting is not None and waiting.reason not in _ON_ITS_WAY:
            return str(waiting.reason)
    placed = conditions.get("PodScheduled")
    return str(placed.reason) if placed is not None and placed.status == "False" else None
