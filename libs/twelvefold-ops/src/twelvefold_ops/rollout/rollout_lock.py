"""One rollout of a service at a time: a Lease, as the controllers of Kubernetes use it.

Owns taking, keeping and giving back. A holder that was killed or failed leaves its lease behind, which is how
the next one knows that the last did not end in order; a lease that nobody renews is taken over after
its time, by the clock of whoever waits (the cluster's clocks may differ).
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

from .kubernetes_api import KubernetesApi, code_of
from .model import PREFIX, ClusterError, RolloutRefused

_DURATION = 15  # seconds without a renewal after which it is nobody's
_RENEWAL = 4.0  # seconds
_WAIT = 40.0  # seconds to wait for another one's
_CONFLICT = 409
_LABEL = f"{PREFIX}/lease"


@asynccontextmanager
async def hold_lease(
    client: AsyncClient, namespace: str, name: str, waiting: Callable[[str], None]
) -> AsyncIterator[bool]:
    """Holds the lease; True where it was left behind. Raises Refused where somebody keeps it.

    It is given back where the block ends or refuses, and left behind where anything else is raised:
    what it was at may be half done.

    The task that holds it is cancelled where it is lost: somebody else is at work then.
    """
    holder = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    abandoned = await _taken(client, namespace, name, holder, waiting)
    keeper = asyncio.create_task(_kept(client, namespace, name, holder, asyncio.current_task()))
    in_order = False
    try:
        yield abandoned
        in_order = True
    except RolloutRefused:
        in_order = True
        raise
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
        if in_order:
            await _given_back(client, namespace, name, holder)


async def _taken(
    client: AsyncClient, namespace: str, name: str, holder: str, waiting: Callable[[str], None]
) -> bool:
    api = KubernetesApi(client)
    began = seen_at = time.monotonic()
    seen = None
    while True:
        if await _made(client, _lease(name, namespace, holder)):
            return False
        found = (await api.listed(Lease, {_LABEL: name}) or [None])[0]
        if found is None:
            continue  # it was given back in between
        now, version = time.monotonic(), found.metadata.resourceVersion
        if seen is None:
            waiting(
                f"a rollout holds the lease ({found.spec.holderIdentity}): seeing whether it lives"
            )
        if version != seen:
            seen, seen_at = version, now
        elif now - seen_at > _DURATION and await _replaced(
            client, _lease(name, namespace, holder, version)
        ):
            return True
        if now - began > _WAIT:
            raise RolloutRefused(
                f"another rollout is at work ({found.spec.holderIdentity}): wait, or stop that one"
            )
        await asyncio.sleep(1.0)


async def _made(client: AsyncClient, lease: Lease) -> bool:
    try:
        await client.create(lease)
    except (ApiError, httpx.HTTPError) as error:
        if code_of(error) != _CONFLICT:
            raise ClusterError(f"no lease: {error}") from error
        return False
    return True


async def _replaced(client: AsyncClient, lease: Lease) -> bool:
    """False where another one was quicker."""
    with suppress(ApiError, httpx.HTTPError):
        await client.replace(lease)
        return True
    return False


async def _kept(
    client: AsyncClient,
    namespace: str,
    name: str,
    holder: str,
    work: asyncio.Task[object] | None,
) -> None:
    renewed = time.monotonic()
    while True:
        await asyncio.sleep(_RENEWAL)
        try:
            found = await client.get(Lease, name=name, namespace=namespace)
            if found.spec is None or found.spec.holderIdentity != holder:
                break
            found.spec.renewTime = datetime.now(UTC)
            await client.replace(found)
            renewed = time.monotonic()
        except (ApiError, httpx.HTTPError):
            if time.monotonic() - renewed > _DURATION:
                break
    if work is not None:
        work.cancel()


async def _given_back(client: AsyncClient, namespace: str, name: str, holder: str) -> None:
    with suppress(ApiError, httpx.HTTPError):
        found = await client.get(Lease, name=name, namespace=namespace)
        if found.spec and found.spec.holderIdentity == holder:
            await client.delete(Lease, name=name, namespace=namespace)


def _lease(name: str, namespace: str, holder: str, version: str | None = None) -> Lease:
    now = datetime.now(UTC)
    return Lease(
        metadata=ObjectMeta(
            name=name, namespace=namespace, resourceVersion=version, labels={_LABEL: name}
        ),
        spec=LeaseSpec(
            holderIdentity=holder, leaseDurationSeconds=_DURATION, acquireTime=now, renewTime=now
        ),
    )
