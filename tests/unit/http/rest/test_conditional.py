"""Conditional requests of RFC 9110 section 13."""

import pytest

from twelvefold.errors import PreconditionFailed, PreconditionRequired
from twelvefold.http.rest.conditional import etag, format_if_match, is_not_modified, parse_if_match


def test_a_version_makes_a_strong_tag_that_is_parsed_again():
    assert etag(3) == '"v3"'
    assert parse_if_match(etag(3)) == frozenset({3})


@pytest.mark.parametrize(
    ("header", "matching"),
    [
        (None, False), ('"v3"', True), ('W/"v3"', True), ('"v2", "v3"', True), ("*", True),
        ('"v2"', False), ("v3", False), ('"3"', False), ("", False), ('"v03"', False),
        ('W/"a, b", "x", "v3"', True), (', ,"v2" ,\t"v3",', True), ('"v2" "v3"', False),
        ('"v2, "v3"', False), ('"v٣"', False),
    ],
)  # fmt: skip
def test_if_none_match_compares_weakly(header, matching):
    assert is_not_modified(header, etag(3)) is matching


def test_if_match_is_required():
    with pytest.raises(PreconditionRequired):
        parse_if_match(None)


def test_a_star_matches_any_existing_version():
    assert parse_if_match("*") is None


@pytest.mark.parametrize("header", ['W/"v3"', "v3", '"3"', '"other"', "", f'"v{"9" * 30}"'])
def test_a_tag_that_cannot_match_is_a_failed_precondition(header):
    with pytest.raises(PreconditionFailed):
        parse_if_match(header)


@pytest.mark.parametrize(
    "header", ['"v3","v7"', '"v7", "other", W/"v9" , "v3"', ',"v3",,"v7","v3"']
)
def test_any_strong_tag_of_a_list_may_match(header):
    assert parse_if_match(header) == frozenset({3, 7})


@pytest.mark.parametrize("versions", [None, frozenset({3}), frozenset({7, 3})])
def test_a_formatted_if_match_is_parsed_into_the_same_versions(versions):
    assert parse_if_match(format_if_match(versions)) == versions
