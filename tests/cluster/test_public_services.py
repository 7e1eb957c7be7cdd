"""Every public service behind the gateway: a token opens its operations, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest
from tests.cluster.cluster import ROOT
from tests.suite import PUBLIC

PASSWORD = "correct horse battery staple"


def _secured(service: str) -> list[str]:
    """Return the paths of a service that a GET with a token reads, without parameters."""
    document = json.loads((ROOT / f"docs/api/{service}.json").read_text())
    return [
        path
        for path, operations in document["paths"].items()
        if "{" not in path and operations.get("get", {}).get("security")
    ]


@pytest.fixture
def bearer(client: httpx.Client) -> dict[str, str]:
    """The header of a user who has just registered."""
    email = f"public.{uuid4().hex}@example.com"
    body = {"email": email, "name": "Ada", "password": PASSWORD}
    client.post("/api/v1/users", json=body).raise_for_status()
    form = {"grant_type": "password", "username": email, "password": PASSWORD}
    pair = client.post("/api/v1/auth/token", data=form).raise_for_status().json()
    return {"Authorization": f"Bearer {pair['access_token']}"}


@pytest.mark.parametrize("service", PUBLIC)
def test_a_token_opens_every_operation_and_its_absence_is_401(
    service: str,
    client: httpx.Client,
    bearer: dict[str, str],
    note: Callable[[str], None],
) -> None:
    paths = _secured(service)
    assert paths
    for path in paths:
        refused = client.get(path)
        assert refused.status_code == 401, f"{path}: {refused.text}"
        assert refused.json()["type"] == "/problems/unauthenticated"

        # 403 and 422 are the service's own: of an admin's path, or of missing parameters.
        admitted = client.get(path, headers=bearer)
        assert admitted.status_code in {200, 403, 422}, f"{path}: {admitted.text}"
        note(f"public {service:<8} {path} {admitted.status_code}")
