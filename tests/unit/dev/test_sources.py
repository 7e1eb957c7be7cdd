"""The services that a changed file restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from twelvefold_dev.supervisor.source_watcher import Sources

SERVICES = ("api", "users", "worker")


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    (tmp_path / "libs/twelvefold/src/twelvefold/cache").mkdir(parents=True)
    for name in SERVICES:
        (tmp_path / "services" / name / "src").mkdir(parents=True)
    return Sources(tmp_path, SERVICES)


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
    change = Sources(linked, ["api"]).find_affected([path])
    assert change
    assert change.services == {"api"}
