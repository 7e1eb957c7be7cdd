"""A rollout's lease is given back where nothing is half done, and left behind everywhere else.

An API server of one object stands in for the cluster's; the real one is for tests/cluster.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import httpx2 as httpx
import pytest
from lightkube import ApiError, AsyncClient
from lightkube.resources.coordination_v1 import Lease

from twelvefold_ops.rollout import rollout_lock
from twelvefold_ops.rollout.model import ClusterError, RolloutRefused
from twelvefold_ops.rollout.rollout_lock import hold_lease


class OneLease:
    """Keeps one lease and counts its versions, as an API server does."""

    def __init__(self) -> None:
        self.kept: Lease | None = None
        self._version = 0

    async def create(self, made: Lease) -> None:
        if self.kept is not None:
            raise _conflict()
        self._keep(made)

    async def replace(self, made: Lease) -> None:
        assert made.metadata is not None
        if made.metadata.resourceVersion != str(self._version):
            raise _conflict()
        self._keep(made)

    async def get(self, _: type[Lease], **__: Any) -> Lease:
        assert self.kept is not None
        return self.kept

    async def delete(self, _: type[Lease], **__: Any) -> None:
        self.kept = None

    async def list(self, _: type[Lease], **__: Any) -> AsyncIterator[Lease]:
        if self.kept is not None:
            yield self.kept

    def _keep(self, made: Lease) -> None:
        assert made.metadata is not None
        self._version += 1
        made.metadata.resourceVersion = str(self._version)
        self.kept = made


def _conflict() -> ApiError:
    status = {"code": 409, "message": "it is there already"}
    request = httpx.Request("POST", "https://cluster.example")
    return ApiError(response=httpx.Response(409, json=status, request=request))


@pytest.fixture
def server() -> OneLease:
    return OneLease()


def hold(server: OneLease, notes: list[str] | None = None) -> Any:
    report = notes.append if notes is not None else lambda _: None
    return hold_lease(cast("AsyncClient", server), "shop", "rollout-api", report)


async def test_a_lease_is_there_while_it_is_held_and_gone_afterwards(server: OneLease) -> None:
    async with hold(server) as abandoned:
        assert (abandoned, server.kept is not None) == (False, True)
    assert server.kept is None


async def test_refusing_leaves_nothing_behind(server: OneLease) -> None:
    with pytest.raises(RolloutRefused):
        async with hold(server):
            raise RolloutRefused("something else is under way")
    assert server.kept is None


@pytest.mark.parametrize("error", [ClusterError("no answer"), KeyError("unforeseen")])
async def test_whoever_fails_half_way_leaves_the_lease_to_tell_of_it(
    server: OneLease, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(rollout_lock, "_DURATION", 0.0)
    with pytest.raises(type(error)):
        async with hold(server):
            raise error
    notes: list[str] = []
    async with hold(server, notes) as abandoned:
        assert abandoned
    assert "seeing whether it lives" in notes[0]
    assert server.kept is None


async def test_a_lease_that_is_renewed_is_refused_to_others(
    server: OneLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_lock, "_WAIT", 0.5)
    async with hold(server):
        with pytest.raises(RolloutRefused, match="another rollout is at work"):
            async with hold(server):
                pytest.fail("two hold it")
        assert server.kept is not None
