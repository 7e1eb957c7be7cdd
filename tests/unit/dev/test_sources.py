"""The services that a changed file restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from twelvefold_dev.supervisor.reload.source_watcher import Sources

SERVICES = ("api", "users", "worker")


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    (tmp_path / "libs/twelvefold/src/twelvefold/cache").mkdir(parents=True)
    for name in SERVICES:
        (tmp_path / "services" / name / "src").mkdir(parents=True)
    homes = {name: tmp_path / "services" / name / "src" for name in SERVICES}
    return Sources(tmp_path, homes, [tmp_path / "libs/twelvefold/src"])


def test_a_service_s_own_file_restarts_it_alone(sources, tmp_path) -> None:
    change = sources.find_affected([tmp_path / "services/api/src/api/app.py"])
    assert change.services == {"api"}
    assert not change.migrations


def test_the_shared_package_restarts_every_service(sources, tmp_path) -> None:
    assert sources.find_affected(
        [tmp_path / "libs/twelvefold/src/twelvefold/cache/cache.py"]
    ).services == set(SERVICES)


def test_the_supervisor_s_own_files_restart_none(sources, tmp_path) -> None:
    assert (
        sources.find_affected(
            [tmp_path / "libs/twelvefold-dev/src/twelvefold_dev/supervisor/supervisor.py"]
        )
        is None
    )


def test_a_new_revision_is_migrated_first(sources, tmp_path) -> None:
    path = tmp_path / "services/users/src/users/migrations/versions/0002_more.py"
    assert sources.find_affected([path]).migrations


def test_a_change_is_named_from_the_root(sources, tmp_path) -> None:
    path = tmp_path / "services/users/src/users/app.py"
    assert sources.find_affected([path]).example == "services/users/src/users/app.py"


def test_a_checkout_of_symbolic_links_is_watched_at_the_real_paths(tmp_path) -> None:
    real, linked = tmp_path / "real", tmp_path / "linked"
    (real / "services/api/src").mkdir(parents=True)
    linked.mkdir()
    (linked / "services").symlink_to(real / "services")
    path = real / "services/api/src/api/app.py"
    change = Sources(linked, {"api": linked / "services/api/src"}).find_affected([path])
    assert change
    assert change.services == {"api"}


def test_an_installed_package_is_not_watched(tmp_path) -> None:
    installed = tmp_path / "site-packages/api"
    installed.mkdir(parents=True)
    root = tmp_path / "project"
    root.mkdir()
    assert Sources(root, {"api": installed}).find_affected([installed / "app.py"]) is None


async def test_without_sources_the_watch_goes_on(tmp_path) -> None:
    waiting = asyncio.ensure_future(anext(Sources(tmp_path, {}).changes()))
    _, pending = await asyncio.wait([waiting], timeout=0.1)
    assert pending
    waiting.cancel()


def test_two_services_of_one_package_restart_together(tmp_path) -> None:
    home = tmp_path / "src/notes"
    home.mkdir(parents=True)
    change = Sources(tmp_path, {"notes": home, "worker": home}).find_affected([home / "app.py"])
    assert change
    assert change.services == {"notes", "worker"}
