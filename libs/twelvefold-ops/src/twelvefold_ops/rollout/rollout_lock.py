"""Allow one rollout of a service at a time, by a Kubernetes Lease.

A holder that was killed or failed leaves its Lease in place, which shows the next one that the
last rollout was interrupted. A Lease that is not renewed is taken over when it expires, by the
clock of the process that waits, because the clocks of machines may differ.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from uuid import uuid4

import httpx2 as httpx
from lightkube import ApiError, AsyncClient
from lightkube.models.coordination_v1 import LeaseSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease

from .kubernetes_api import KubernetesApi, status_code
from .model import PREFIX, ClusterError, RolloutRefused

_LEASE_DURATION = 15  # seconds without a renewal after which it expires
_RENEWAL_INTERVAL = 4.0  # seconds
_ACQUIRE_TIMEOUT = 40.0  # seconds to wait for another holder
_CONFLICT = 409
_LABEL = f"{PREFIX}/lease"


@asynccontextmanager
async def hold_lease(
    client: AsyncClient, namespace: str, name: str, waiting: Callable[[str], None]
) -> AsyncIterator[bool]:
    """Hold the lease `name`. Yields True if the last holder abandoned it.

    The lease is released if the block ends or raises RolloutRefused. Any other exception leaves it
    in place, since a step may be half done. If the lease is lost, the task that holds it is
    cancelled. `waiting` gets a text if another process holds the lease. Raises RolloutRefused if it
    still does after 40 s, ClusterError.
    """
    holder = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    was_abandoned = await _acquire(client, namespace, name, holder, waiting)
    renewal = asyncio.create_task(_renew(client, namespace, name, holder, asyncio.current_task()))
    ended_regularly = False
    try:
        yield was_abandoned
        ended_regularly = True
    except RolloutRefused:
        ended_regularly = True
        raise
    finally:
        renewal.cancel()
        with suppress(asyncio.CancelledError):
            await renewal
        if ended_regularly:
            await _release(client, namespace, name, holder)


async def _acquire(
    client: AsyncClient, namespace: str, name: str, holder: str, waiting: Callable[[str], None]
) -> bool:
    api = KubernetesApi(client)
    started = seen_at = time.monotonic()
    seen_version = None
    while True:
        if await _try_create(client, _build_lease(name, namespace, holder)):
            return False
        lease = (await api.list_objects(Lease, {_LABEL: name}) or [None])[0]
        if lease is None:
            continue  # it was released in between
        now, version = time.monotonic(), lease.metadata.resourceVersion
        if seen_version is None:
            waiting(
                f"another rollout holds the lease ({lease.spec.holderIdentity}): "
                "waiting to see whether it renews it"
            )
        if version != seen_version:
            seen_version, seen_at = version, now
        elif now - seen_at > _LEASE_DURATION and await _try_replace(
            client, _build_lease(name, namespace, holder, version)
        ):
            return True
        if now - started > _ACQUIRE_TIMEOUT:
            raise RolloutRefused(
                f"another rollout is in progress ({lease.spec.holderIdentity}): wait, or stop it"
            )
        await asyncio.sleep(1.0)


async def _try_create(client: AsyncClient, lease: Lease) -> bool:
    try:
        await client.create(lease)
    except (ApiError, httpx.HTTPError) as error:
        if status_code(error) != _CONFLICT:
            raise ClusterError(f"cannot create the lease: {error}") from error
        return False
    return True


async def _try_replace(client: AsyncClient, lease: Lease) -> bool:
    """Return False if another process changed the lease first."""
    with suppress(ApiError, httpx.HTTPError):
        await client.replace(lease)
        return True
    return False


async def _renew(
    client: AsyncClient,
    namespace: str,
    name: str,
    holder: str,
    work: asyncio.Task[object] | None,
) -> None:
    """Renew the lease until cancelled; cancel `work` once the lease is lost."""
    renewed = time.monotonic()
    while True:
        await asyncio.sleep(_RENEWAL_INTERVAL)
        try:
            lease = await client.get(Lease, name=name, namespace=namespace)
            if lease.spec is None or lease.spec.holderIdentity != holder:
                break
            lease.spec.renewTime = datetime.now(UTC)
            await client.replace(lease)
            renewed = time.monotonic()
        except (ApiError, httpx.HTTPError):
            if time.monotonic() - renewed > _LEASE_DURATION:
                break
    if work is not None:
        work.cancel()


async def _release(client: AsyncClient, namespace: str, name: str, holder: str) -> None:
    with suppress(ApiError, httpx.HTTPError):
        lease = await client.get(Lease, name=name, namespace=namespace)
        if lease.spec and lease.spec.holderIdentity == holder:
            await client.delete(Lease, name=name, namespace=namespace)


def _build_lease(name: str, namespace: str, holder: str, version: str | None = None) -> Lease:
    now = datetime.now(UTC)
    return Lease(
        metadata=ObjectMeta(
            name=name, namespace=namespace, resourceVersion=version, labels={_LABEL: name}
        ),
        spec=LeaseSpec(
            holderIdentity=holder,
            leaseDurationSeconds=_LEASE_DURATION,
            acquireTime=now,
            renewTime=now,
        ),
    )
