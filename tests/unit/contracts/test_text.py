"""Forbidden characters of a text: the same set in every version of Python."""

import re
import sys
import unicodedata

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError
from tests.growth import is_linear

from twelvefold.contracts.accounts import EnteredPassword, Name, Password
from twelvefold.contracts.text import (
    fold_spaces,
    has_forbidden_characters,
    normalize_password,
    remove_forbidden_characters,
)

NAME: TypeAdapter[str] = TypeAdapter(Name)
PASSWORD: TypeAdapter[SecretStr] = TypeAdapter(Password)
GIVEN: TypeAdapter[SecretStr] = TypeAdapter(EnteredPassword)
ALLOWED = {
    "zero-width non-joiner, as in Persian": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "zero-width joiner of a family": "Ada \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "emoji of Unicode 15": "Ada \U0001fae8",
    "emoji of Unicode 16": "Ada \U0001fae9",
    "a code point that no version knows yet": "Ada \U0001fc00",
    "private use": "Ada \ue000",
    "directional marks": "\u200f\u05e2\u05d3\u05d4\u200e",
    "a flag of tags": "\U0001f3f4\U000e0067\U000e0062\U000e007f",
    "combining marks": "Zoe\u0308",
}
FOLDED = {
    "ideographic space": ("\u5c71\u7530\u3000\u592a\u90ce", "\u5c71\u7530 \u592a\u90ce"),
    "no-break space": ("Ada\u00a0Lovelace", "Ada Lovelace"),
    "runs and ends": ("  Ada \u2003\u2028 Lovelace\u3000", "Ada Lovelace"),
}
FORBIDDEN = {
    "line break": "Ada\nBcc: all",
    "tab": "Ada\tL",
    "NUL": "Ada\0",
    "C1 control": "Ada\x85",
    "override": "Ada\u202egpj",
    "isolate": "Ada\u2066gpj",
    "noncharacter": "Ada\ufdd0",
    "last of a plane": "Ada\U0010ffff",
    "half a character": "Ada\ud800",
}


@pytest.mark.parametrize("name", ALLOWED.values(), ids=ALLOWED)
def test_a_name_of_any_script_is_kept_as_it_is(name):
    assert NAME.validate_python(name) == name


@pytest.mark.parametrize(("name", "folded"), FOLDED.values(), ids=FOLDED)
def test_white_space_is_folded(name, folded):
    assert NAME.validate_python(name) == folded


@pytest.mark.parametrize("name", FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_breaks_a_line_or_reorders_text_is_refused(name):
    with pytest.raises(ValidationError):
        NAME.validate_python(name)
    assert not has_forbidden_characters(remove_forbidden_characters(name))


@pytest.mark.parametrize("name", ["", " ", "\u3000\u00a0"])
def test_a_blank_name_is_refused(name):
    with pytest.raises(ValidationError):
        NAME.validate_python(name)


def test_the_forbidden_set_holds_exactly_what_it_says():
    """The categories Cc and Cs and the noncharacters never change."""
    bidi = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
    for code in range(sys.maxunicode + 1):
        noncharacter = 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE
        wanted = unicodedata.category(chr(code)) in ("Cc", "Cs") or noncharacter or code in bidi
        assert has_forbidden_characters(chr(code)) == wanted, hex(code)


def test_exactly_the_white_space_that_is_no_control_character_is_folded():
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        is_space = character.isspace() and unicodedata.category(character) != "Cc"
        assert (fold_spaces(f"a{character}b") == "a b") == is_space, hex(code)


def test_no_decision_depends_on_the_interpreters_tables():
    from twelvefold.contracts import text

    patterns = [value for value in vars(text).values() if isinstance(value, re.Pattern)]
    assert patterns
    assert not [one.pattern for one in patterns if re.search(r"\\[swd]", one.pattern)]


@pytest.mark.parametrize("length", [7, 8, 256, 257])
@pytest.mark.parametrize(
    "letter", ["\u00eb", "e\u0308", "\u1112\u1161\u11ab", "\u03b1\u0313\u0300\u0345"]
)
def test_a_password_is_counted_once_its_form_is_normalised(length, letter):
    accepted = True
    try:
        password = PASSWORD.validate_python(letter * length)
        assert len(password.get_secret_value()) == length
    except ValidationError:
        accepted = False
    assert accepted == (8 <= length <= 256)


def test_characters_that_become_fewer_do_not_make_a_password_long_enough():
    with pytest.raises(ValidationError):
        PASSWORD.validate_python("e\u0308" * 4)


def test_a_password_that_is_known_keeps_its_spelling_up_to_the_longest_there_is():
    spelling = "\u03b1\u0313\u0300\u0345" * 256
    assert GIVEN.validate_python(spelling).get_secret_value() == spelling
    assert len(normalize_password(spelling)) == 256
    with pytest.raises(ValidationError):
        GIVEN.validate_python(spelling + "x")


def test_normalising_hostile_text_is_bounded():
    """The time for a run of combining characters is quadratic, so long text is not normalised."""
    hostile = "a" + "\u0345\u0316" * 500_000
    assert normalize_password(hostile) == hostile
    assert is_linear(normalize_password, lambda length: hostile[:length])
