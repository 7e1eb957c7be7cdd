"""SECURITY.md names the tests that show each protection: every one of them exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
POLICY = ROOT / ".github/SECURITY.md"
TEST_PATH = re.compile(r"`([^`\s]*test_\w+\.py|tests/[^`\s]*)`")
EVIDENCE = sorted(set(TEST_PATH.findall(POLICY.read_text())))


@pytest.mark.parametrize("path", EVIDENCE)
def test_a_test_that_the_policy_names_exists(path: str) -> None:
    assert path.startswith("tests/"), "give the path from the root of the repository"
    assert (ROOT / path).exists()


def test_every_protection_names_a_test() -> None:
    table = POLICY.read_text().partition("## Protection against threats")[2].partition("\n\n")[0]
    rows = table.strip().splitlines()[2:]
    assert len(rows) > 20
    assert [row for row in rows if "`tests/" not in row.split("|")[3]] == []
