"""Every invariant holds in every environment, and finds the faults that it is there for."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from tests.charts.invariants import INVARIANTS, Fault, Invariant, planted
from tests.charts.rendering import ENVIRONMENTS, World
from tests.charts.tree import ROOT, copied

_FAULTS = list(planted())


@cache
def world(environment: str) -> World:
    return World(environment)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("one", INVARIANTS, ids=lambda one: one.name)
def test_invariant(one: Invariant, environment: str) -> None:
    assert list(one.check(world(environment))) == []


@pytest.mark.parametrize(
    ("one", "fault"),
    _FAULTS,
    ids=[f"{one.name}-{number}" for number, (one, _) in enumerate(_FAULTS)],
)
def test_broken_chart_is_caught(one: Invariant, fault: Fault, tmp_path: Path) -> None:
    root = copied(tmp_path)
    fault.plant(root)

    # The first complaint suffices.
    assert any(True for _ in one.check(World(fault.environment, root)))


def test_every_fault_has_its_line_whatever_services_there_are() -> None:
    absent = [
        f"{file}: {old!r}"
        for _, fault in _FAULTS
        for file, old in ((fault.file, fault.old), *((file, old) for file, old, _ in fault.also))
        if old not in (ROOT / file).read_text()
    ]
    assert absent == []


def test_every_invariant_can_fail() -> None:
    assert [one.name for one in INVARIANTS if not one.faults] == []
