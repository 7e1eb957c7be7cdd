"""No file lists the services by name: readers derive their list, or a command writes it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.suite import SERVICES

from twelvefold_dev.scaffold.lists import FILES

ROOT = Path(__file__).parents[3]
_NAME = rf"\b(?:{'|'.join(SERVICES)})\b"
# Three names beside each other, with commas, quotes, brackets or spaces between them.
_LIST = re.compile(rf"(?:{_NAME}['\"]?[,|:]? ?['\"]?){{2}}{_NAME}")
# By path: why it may.
_EXEMPT = {
    **dict.fromkeys(FILES, "`make workspace` writes it"),
    "charts/common/README.md": "`make charts-docs` writes it",
    "charts/api/README.md": "`make charts-docs` writes it",
    "charts/worker/README.md": "`make charts-docs` writes it",
    "istio/": "`make workspace` writes the callers, and `make charts-docs` the READMEs",
    "docs/": "prose for readers",
    "tests/client/": "generated from the API's description",
    "tests/unit/dev/": "services of the test's own, by the same names",
    "tests/integration/dev/": "services of the test's own, by the same names",
    "tests/unit/ops/rollout/test_services.py": "states what the suite has at least",
    "tests/e2e/service_lists.py": "what each list would be, had it been forgotten",
    "tests/e2e/test_upgrades.py": "a change of each of these services' own tables",
}


def _tracked() -> list[str]:
    done = subprocess.run(
        ["git", "ls-files"],  # noqa: S607 (the reader's own git)
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def lists_in(text: str) -> list[str]:
    """Return every list of three different services in a text."""
    found = (match[0] for match in _LIST.finditer(text))
    return [one for one in found if len(set(re.findall(_NAME, one))) > 2]


def test_no_file_lists_the_services_by_name() -> None:
    found = {}
    for name in _tracked():
        if name.startswith(tuple(_EXEMPT)) or not (ROOT / name).is_file():
            continue
        try:
            lists = lists_in((ROOT / name).read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            continue
        if lists:
            found[name] = lists
    assert found == {}


def test_a_list_is_recognized_in_every_language_of_the_tree() -> None:
    one, other, third = SERVICES[:3]
    for text in (
        f'("{one}", "{other}", "{third}")',
        f"[{one}, {other}, {third}]",
        f"for service in {one} {other} {third}; do",
        f'job=~"{one}|{other}|{third}"',
    ):
        assert lists_in(text), text
    assert lists_in(f"{one}, {one}, {other}") == []
