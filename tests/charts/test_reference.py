"""The README tables and schemas are those of the values files."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.charts.reference import CHARTS, files_of, parsed


@pytest.mark.parametrize("chart", CHARTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_generated_files_are_current(chart: Path) -> None:
    for path, content in files_of(chart).items():
        assert path.read_text() == content, "run make charts-docs"


@pytest.mark.parametrize("chart", CHARTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_every_value_is_described(chart: Path) -> None:
    """Where a value is one of a service's settings, the settings class describes it."""
    rows = [line.split(" | ") for line in files_of(chart)[chart / "README.md"].splitlines()]
    empty = [row[0] for row in rows if row[0].startswith("| `") and row[-1].strip() in ("|", "")]
    assert empty == []


def test_a_comment_belongs_to_the_key_below_it_at_the_same_depth(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(
        '# About a.\na:\n  # About b.\n  # @schema {"minimum": 1}\n  b: 1\n  c: {d: 2}\n'
    )

    a = parsed(file)["a"]

    assert (a.about, a.children["b"].about, a.children["b"].extra) == (
        "About a.",
        "About b.",
        {"minimum": 1},
    )
    assert a.children["c"].children["d"].about == ""
