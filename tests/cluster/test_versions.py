"""The release before and this one side by side on one schema, half of the requests to each.

OLDER_TAG names the images of the release before; TAG, as everywhere here, those of this one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cluster.clients import ClientPool
from tests.cluster.deployment import Deployment
from tests.cluster.effects import effects
from tests.cluster.load import Load
from tests.cluster.test_suites import SUITES, passes
from tests.suite import SERVICES

OLDER = os.environ.get("OLDER_TAG")

pytestmark = [
    pytest.mark.endurance,
    pytest.mark.skipif(not OLDER, reason="OLDER_TAG names no images of a release before"),
]


@pytest.fixture(scope="module")
def mixed(deployment: Deployment) -> Iterator[Deployment]:
    """A second release of each service is the older one, on the schema of the newer."""
    for service in SERVICES:
        release = f"{service}-canary"
        deployment.service(service, "--set-string", f"image.tag={OLDER}", release=release)
        if service != "worker":
            deployment.route(service, "--set", "canary.enabled=true,canary.weight=50")
    yield deployment
    for service in SERVICES:
        if service != "worker":
            deployment.route(service, "--set", "canary.enabled=true,canary.weight=0")
            deployment.route(service)
        deployment.uninstall(f"{service}-canary")


@pytest.mark.parametrize("suite", SUITES)
def test_suite_passes_on_both_releases_at_once(
    suite: str, mixed: Deployment, tmp_path: Path, note: Callable[[str], None]
) -> None:
    images = {pod["spec"]["containers"][0]["image"] for one in SERVICES for pod in mixed.pods(one)}
    assert len(images) == 2 * len(SERVICES), images
    note(f"{OLDER} beside {mixed.tag}: {suite} {passes(mixed, suite, tmp_path)}")


def test_people_notice_nothing(
    mixed: Deployment, clients: ClientPool, note: Callable[[str], None]
) -> None:
    with Load(clients, rate=40) as load:
        load.run(seconds=30)
    found = effects(mixed, load.result)
    note(f"{OLDER} beside {mixed.tag}: {load.result}; {found}")

    assert load.result.failures == [], load.result.summary()
    assert found.hold, found
