"""An environment that the test controls."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from tests.unit.settings.suite import DATABASE, SECRET


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)


@pytest.fixture
def given(monkeypatch) -> Callable[..., None]:
    """Set the environment that production needs, with the test's changes; None unsets."""

    def change(**changes: str | None) -> None:
        values = {
            "ENVIRONMENT": "production",
            "DATABASE_URL": DATABASE,
            "REDIS_URL": "rediss://cache.example/0",
            "SECRET_KEY": SECRET,
        }
        for name, value in {**values, **changes}.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return change
