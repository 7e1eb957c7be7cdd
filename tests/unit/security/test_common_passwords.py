"""The list of common passwords: its length, its size in memory, its use and its loading."""

import asyncio
import sys

import pytest

from twelvefold.contracts.text import MIN_PASSWORD_LENGTH
from twelvefold.security import common_passwords
from twelvefold.security.common_passwords import CommonPasswords, read_list


def test_the_list_has_more_than_the_required_3000_words_and_is_small():
    words = read_list()
    assert len(words) > 3000
    assert min(map(len, words)) >= MIN_PASSWORD_LENGTH
    assert sys.getsizeof(words) + sum(map(sys.getsizeof, words)) < 2_000_000


@pytest.mark.parametrize("password", ["password", "PassWord", "1234567890", "qwertyuiop"])
async def test_a_common_password_is_found_in_any_letter_case(password):
    assert await CommonPasswords().contains(password)


@pytest.mark.parametrize("password", ["correct horse battery staple", "Zwölf Boxkämpfer", ""])
async def test_another_password_is_not_found(password):
    assert not await CommonPasswords().contains(password)


async def test_it_is_read_once_and_again_after_a_failure(monkeypatch):
    calls = []

    def fails_first():
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("not installed")
        return read_list()

    monkeypatch.setattr(common_passwords, "read_list", fails_first)
    common = CommonPasswords()
    with pytest.raises(RuntimeError):
        await common.contains("password")
    assert all(await asyncio.gather(*(common.contains("password") for _ in range(5))))
    assert len(calls) == 2
