"""The canonical form of an address, and its form for SMTP servers."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import EmailStr, TypeAdapter

from twelvefold.contracts.email_address import ascii_address, ascii_domain, email_key

ONE_ADDRESS = {
    "Unicode": "zo\u00eb@b\u00fccher.example",
    "A-labels": "zo\u00eb@xn--bcher-kva.example",
    "capitals": "ZO\u00cb@B\u00dcCHER.EXAMPLE",
    "capital A-labels": "zo\u00eb@XN--BCHER-KVA.example",
    "decomposed": "zoe\u0308@bu\u0308cher.example",
    "wide letters and an ideographic full stop": "zo\u00eb@\uff42\u00fccher\u3002example",
    "spaces around": " zo\u00eb@b\u00fccher.example\n",
}
# The key under which the first releases stored an address.
STORED = "zo\u00eb@b\u00fccher.example"


@pytest.mark.parametrize("spelling", ONE_ADDRESS.values(), ids=ONE_ADDRESS)
def test_every_spelling_has_the_key_that_rows_are_stored_under(spelling):
    assert email_key(spelling) == STORED
    assert email_key(email_key(spelling)) == STORED


@pytest.mark.parametrize(
    "address",
    [
        "Ada@Example.com",
        "x@stra\u00dfe.example",
        "x@\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2.example",
        "x@\u0645\u062b\u0627\u0644.\u0625\u062e\u062a\u0628\u0627\u0631",
        "x@\u4f8b\u3048.jp",
        "o'hara+tag@sub.example.org",
    ],
)
def test_the_key_of_what_the_edge_accepts_is_what_releases_before_have_stored(address):
    accepted = TypeAdapter(EmailStr).validate_python(address)
    assert email_key(accepted) == unicodedata.normalize("NFC", accepted.strip()).lower()
    assert email_key(ascii_address(accepted)) == email_key(address)


def test_other_addresses_have_other_keys():
    others = [
        "x@strasse.example",
        "x@stra\u00dfe.example",
        "x@xn--bcher-kva.test",
        "y@b\u00fccher.test",
    ]
    assert len({email_key(address) for address in others}) == len(others)


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("Ada@b\u00fccher.example", "Ada@xn--bcher-kva.example"),
        ("zo\u00eb@b\u00fccher.example", "zo\u00eb@xn--bcher-kva.example"),
        ("ada@example.com", "ada@example.com"),
    ],
)
def test_a_server_is_given_the_domain_as_a_labels(address, written):
    assert ascii_address(address) == written


@pytest.mark.parametrize(
    "text",
    ["", "@", "ada", "a@xn--", "a@xn--zzzzzz.example", "a@\ud800", "a@..", "x" * 5000 + "@\u00fc"],
)
def test_a_text_that_is_not_an_address_has_a_key_too(text):
    assert email_key(text) == email_key(email_key(text))


@given(st.text())
def test_no_text_raises_an_error(text):
    assert email_key(text) == email_key(text.strip())
    ascii_address(text)
    ascii_domain(text)
