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
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import httpx2 as httpx
from lightkube import ApiError, AsyncClient
from lightkube.models.coordination_v1 import LeaseSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease

from .kubernetes_api import KubernetesApi, status_code
from .model import PREFIX, ClusterError, RolloutRefused

_CONFLICT = 409
_LABEL = f"{PREFIX}/lease"


@dataclass(frozen=True, slots=True)
class LockTimes:
    """Terms of the lease. Seconds."""

    duration: int = 15  # without a renewal, after which it expires
    renewal_interval: float = 4.0
    acquire_timeout: float = 40.0  # to wait for another holder


_DEFAULT_TIMES = LockTimes()


@asynccontextmanager
async def hold_lease(
    client: AsyncClient,
    namespace: str,
    name: str,
    waiting: Callable[[str], None],
    times: LockTimes = _DEFAULT_TIMES,
) -> AsyncIterator[bool]:
    """Hold the lease `name`. Yields True if the last holder abandoned it.

    The lease is released if the block ends or raises RolloutRefused. Any other exception leaves it
    in place, since a step may be half done. If the lease is lost, the task that holds it is
    cancelled. `waiting` gets a text if another process holds the lease. Raises RolloutRefused if it
    still does after `times.acquire_timeout`, ClusterError.
    """
    holder = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    lock = _Lock(client, namespace, name, holder, times)
    was_abandoned = await lock.acquire(waiting)
    renewal = asyncio.create_task(lock.renew(asyncio.current_task()))
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
            await lock.release()


@dataclass(frozen=True, slots=True)
class _Lock:
    """One lease and its would-be holder."""

    client: AsyncClient
    namespace: str
    name: str
    holder: str
    times: LockTimes

    async def acquire(self, waiting: Callable[[str], None]) -> bool:
        """Return whether the last holder abandoned the lease."""
        api = KubernetesApi(self.client)
        started = seen_at = time.monotonic()
        seen_version = None
        while True:
            if await self._try_create():
                return False
            lease = (await api.list_objects(Lease, {_LABEL: self.name}) or [None])[0]
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
            elif now - seen_at > self.times.duration and await self._try_replace(version):
                return True
            if now - started > self.times.acquire_timeout:
                raise RolloutRefused(
                    f"another rollout is in progress ({lease.spec.holderIdentity}): "
                    "wait, or stop it"
                )
            await asyncio.sleep(1.0)

    async def renew(self, work: asyncio.Task[object] | None) -> None:
        """Renew the lease until cancelled; cancel `work` once the lease is lost."""
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(self.times.renewal_interval)
            try:
                lease = await self.client.get(Lease, name=self.name, namespace=self.namespace)
                if lease.spec is None or lease.spec.holderIdentity != self.holder:
                    break
                lease.spec.renewTime = datetime.now(UTC)
                await self.client.replace(lease)
                renewed = time.monotonic()
            except (ApiError, httpx.HTTPError):
                if time.monotonic() - renewed > self.times.duration:
                    break
        if work is not None:
            work.cancel()

    async def release(self) -> None:
        with suppress(ApiError, httpx.HTTPError):
            lease = await self.client.get(Lease, name=self.name, namespace=self.namespace)
            if lease.spec and lease.spec.holderIdentity == self.holder:
                await self.client.delete(Lease, name=self.name, namespace=self.namespace)

    async def _try_create(self) -> bool:
        try:
            await self.client.create(self._build())
        except (ApiError, httpx.HTTPError) as error:
            if status_code(error) != _CONFLICT:
                raise ClusterError(f"cannot create the lease: {error}") from error
            return False
        return True

    async def _try_replace(self, version: str) -> bool:
        """Return False if another process changed the lease first."""
        with suppress(ApiError, httpx.HTTPError):
            await self.client.replace(self._build(version))
            return True
        return False

    def _build(self, version: str | None = None) -> Lease:
        now = datetime.now(UTC)
        return Lease(
            metadata=ObjectMeta(
                name=self.name,
                namespace=self.namespace,
                resourceVersion=version,
                labels={_LABEL: self.name},
            ),
            spec=LeaseSpec(
                holderIdentity=self.holder,
                leaseDurationSeconds=self.times.duration,
                acquireTime=now,
                renewTime=now,
            ),
        )
