"""The folder of a project: the nearest pyproject.toml with [tool.twelvefold]."""

from __future__ import annotations

import pytest

from twelvefold_dev.checkout import Checkout
from twelvefold_dev.servers.server import StackError


def test_a_project_is_found_from_any_folder_below_it(tmp_path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.twelvefold]\nshared = ["libs/src"]\n')
    below = tmp_path / "services/orders"
    below.mkdir(parents=True)
    # A package of the project, which is no project of its own.
    (below / "pyproject.toml").write_text('[project]\nname = "orders"\n')
    found = Checkout.find(below)
    assert (found.root, found.shared) == (tmp_path, (tmp_path / "libs/src",))


def test_a_table_without_keys_is_enough(tmp_path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.twelvefold]\n")
    assert Checkout.find(tmp_path) == Checkout(tmp_path)


def test_without_the_table_the_message_says_what_makes_a_project(tmp_path) -> None:
    with pytest.raises(StackError, match=r"no project here: .*\[tool\.twelvefold\]"):
        Checkout.find(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[tool.twelvefold]\nshare = []\n", "has no key share; did you mean shared"),
        ('[tool.twelvefold]\nshared = "src"\n', "is not a list of folders"),
        ("[tool.twelvefold\n", "cannot be read"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, content, message) -> None:
    (tmp_path / "pyproject.toml").write_text(content)
    with pytest.raises(StackError, match=message) as failure:
        Checkout.find(tmp_path)
    assert str(tmp_path / "pyproject.toml") in str(failure.value)
