"""Conditional requests as RFC 9110 section 13 has them."""

import pytest

from twelvefold.errors import PreconditionFailed, PreconditionRequired
from twelvefold.http.conditional import etag, matches, required_version


def test_a_version_makes_a_strong_tag_that_comes_back():
    assert etag(3) == '"v3"'
    assert required_version(etag(3)) == 3


@pytest.mark.parametrize(
    ("header", "matching"),
    [
        (None, False), ('"v3"', True), ('W/"v3"', True), ('"v2", "v3"', True), ("*", True),
        ('"v2"', False), ("v3", False), ('"3"', False), ("", False), ('"v03"', True),
    ],
)  # fmt: skip
def test_if_none_match_compares_weakly(header, matching):
    assert matches(header, 3) is matching


def test_if_match_is_required():
    with pytest.raises(PreconditionRequired):
        required_version(None)


def test_a_star_asks_only_that_the_resource_exists():
    assert required_version("*") is None


@pytest.mark.parametrize("header", ['W/"v3"', "v3", '"3"', '"other"', "", f'"v{"9" * 30}"'])
def test_a_tag_that_cannot_match_is_a_failed_precondition(header):
    with pytest.raises(PreconditionFailed):
        required_version(header)


def test_of_several_tags_only_the_newest_can_be_current():
    assert required_version('"v3", "v7", W/"v9"') == 7
