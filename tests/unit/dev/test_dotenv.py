"""`.env`: read as it is written, or refused by line."""

from __future__ import annotations

import pytest

from twelvefold_dev.environment.dotenv import read_dotenv
from twelvefold_dev.servers.server import StackError


def test_variables_are_read_as_they_are_written(tmp_path) -> None:
    (tmp_path / ".env").write_text(
        "# for debugging\nLOG_LEVEL=DEBUG\nexport PORT=8055\n"
        "MAIL_FROM='A $B <a@b.example>'\nEMPTY=\n"
    )
    assert read_dotenv(tmp_path) == {
        "LOG_LEVEL": "DEBUG",
        "PORT": "8055",
        "MAIL_FROM": "A $B <a@b.example>",
        "EMPTY": "",
    }


def test_a_checkout_without_the_file_sets_nothing(tmp_path) -> None:
    assert read_dotenv(tmp_path) == {}


@pytest.mark.parametrize("line", ["LOG_LEVEL", "LOG LEVEL=DEBUG", "='x"])
def test_another_form_is_refused_by_its_line(tmp_path, line) -> None:
    (tmp_path / ".env").write_text(f"PORT=8055\n{line}\n")
    with pytest.raises(StackError, match=r"\.env: line 2 does not have the form NAME=VALUE"):
        read_dotenv(tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(StackError, match=r"\.env cannot be read"):
        read_dotenv(tmp_path)
