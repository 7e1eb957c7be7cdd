"""What only a new start of the stack reads is said in words."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from watchfiles import Change

from twelvefold_dev.supervisor.reload.start_files import StartFiles


@pytest.fixture
def files(tmp_path: Path) -> StartFiles:
    for name in ("api", "users"):
        (tmp_path / "services" / name).mkdir(parents=True)
    return StartFiles(tmp_path, [tmp_path / "services/api", tmp_path / "services/users"])


@pytest.mark.parametrize(
    "name", [".env", "uv.lock", "pyproject.toml", "services/api/pyproject.toml"]
)
def test_a_changed_file_asks_for_a_new_start(files, tmp_path, name) -> None:
    hint = files.describe([(Change.modified, tmp_path / name)])
    assert hint == f"{name} changed: stop the stack and start it again to apply it"


def test_a_new_service_asks_for_a_new_start(files, tmp_path) -> None:
    orders = tmp_path / "services/orders"
    orders.mkdir()
    (orders / "pyproject.toml").touch()
    assert "services/orders changed" in (files.describe([(Change.added, orders)]) or "")


@pytest.mark.parametrize("name", ["README.md", "services/notes", "services/api/README.md"])
def test_other_files_say_nothing(files, tmp_path, name) -> None:
    assert files.describe([(Change.added, tmp_path / name)]) is None


async def test_a_change_on_the_disk_is_seen(files, tmp_path) -> None:
    hints = files.hints()
    waiting = asyncio.ensure_future(anext(hints))
    async with asyncio.timeout(10):
        while not waiting.done():
            (tmp_path / ".env").write_text("LOG_LEVEL=DEBUG\n")
            await asyncio.wait([waiting], timeout=0.2)
    assert ".env changed" in waiting.result()
    await hints.aclose()
