"""Attacks in two sizes, and the table of what they measured.

    pytest tests/attack                       # small counts, as in `make test`
    ATTACK_SCALE=full pytest tests/attack     # the counts that are promised

Owns the option, the fixture `figure` by which a test states what it measured, and the table at
the end. Figures travel in the test's report, so that they are shown under pytest-xdist as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

_PROPERTY = "figure"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("attacks")
    group.addoption(
        "--attack-scale",
        choices=("small", "full"),
        default=os.environ.get("ATTACK_SCALE", "small"),
        help="How hard tests/attack hits (default: ATTACK_SCALE, else small).",
    )


@pytest.fixture(scope="session")
def scaled(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """`scaled(20, 5000)` is the first number in a small run and the second in a full one."""
    full = request.config.getoption("--attack-scale") == "full"
    return lambda small, large: large if full else small


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """`figure("racing PATCHes", requests=5000, grew=41)` is a line of the table."""

    def state(title: str, **measured: object) -> None:
        output = ", ".join(
            f"{name.replace('_', ' ')} {shown(value)}" for name, value in measured.items()
        )
        record_property(_PROPERTY, (title, output))

    return state


def shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == _PROPERTY
    ]
    if not rows:
        return
    terminalreporter.section("figures")
    width = max(len(title) for title, _ in rows)
    for title, value in rows:
        terminalreporter.write_line(f"{title:<{width}}  {value}")
