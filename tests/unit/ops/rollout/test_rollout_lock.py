"""A rollout's lease is released at a regular end, and left in place after a failure.

A fake API server keeps the one object; tests/cluster uses a real one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import httpx2 as httpx
import pytest
from lightkube import ApiError, AsyncClient
from lightkube.resources.coordination_v1 import Lease

from twelvefold_ops.rollout.model import ClusterError, RolloutRefused
from twelvefold_ops.rollout.rollout_lock import LockTimes, hold_lease


class OneLease:
    """Keeps one Lease and increments its version, as an API server does."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self._version = 0

    async def create(self, lease: Lease) -> None:
        if self.lease is not None:
            raise _conflict()
        self._store(lease)

    async def replace(self, lease: Lease) -> None:
        assert lease.metadata is not None
        if lease.metadata.resourceVersion != str(self._version):
            raise _conflict()
        self._store(lease)

    async def get(self, _: type[Lease], **__: Any) -> Lease:
        assert self.lease is not None
        return self.lease

    async def delete(self, _: type[Lease], **__: Any) -> None:
        self.lease = None

    async def list(self, _: type[Lease], **__: Any) -> AsyncIterator[Lease]:
        if self.lease is not None:
            yield self.lease

    def _store(self, lease: Lease) -> None:
        assert lease.metadata is not None
        self._version += 1
        lease.metadata.resourceVersion = str(self._version)
        self.lease = lease


def _conflict() -> ApiError:
    status = {"code": 409, "message": "already exists"}
    request = httpx.Request("POST", "https://cluster.example")
    return ApiError(response=httpx.Response(409, json=status, request=request))


@pytest.fixture
def server() -> OneLease:
    return OneLease()


def hold(server: OneLease, notes: list[str] | None = None, **times: Any) -> Any:
    report = notes.append if notes is not None else lambda _: None
    client = cast("AsyncClient", server)
    return hold_lease(client, "shop", "rollout-api", report, LockTimes(**times))


async def test_a_lease_exists_while_it_is_held_and_is_deleted_afterwards(server: OneLease) -> None:
    async with hold(server) as was_abandoned:
        assert (was_abandoned, server.lease is not None) == (False, True)
    assert server.lease is None


async def test_a_refusal_releases_the_lease(server: OneLease) -> None:
    with pytest.raises(RolloutRefused):
        async with hold(server):
            raise RolloutRefused("another target is in progress")
    assert server.lease is None


@pytest.mark.parametrize("error", [ClusterError("no response"), KeyError("unforeseen")])
async def test_a_failure_half_way_leaves_the_lease_in_place(
    server: OneLease, error: Exception
) -> None:
    with pytest.raises(type(error)):
        async with hold(server):
            raise error
    notes: list[str] = []
    async with hold(server, notes, duration=0) as was_abandoned:
        assert was_abandoned
    assert "waiting to see whether it renews it" in notes[0]
    assert server.lease is None


async def test_a_lease_that_is_renewed_is_refused_to_others(server: OneLease) -> None:
    async with hold(server):
        with pytest.raises(RolloutRefused, match="another rollout is in progress"):
            async with hold(server, acquire_timeout=0.5):
                pytest.fail("two processes hold the lease")
        assert server.lease is not None
