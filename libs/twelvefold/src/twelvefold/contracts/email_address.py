"""E-mail addresses: when two spellings are one address, and what an SMTP server is given.

Owns no syntax: whether something is an address is email-validator's to say, at the edge.
"""

from __future__ import annotations

import unicodedata

import idna

MAX_LENGTH = 254  # characters of an address (RFC 5321 section 4.5.3.1.3)


def email_key(address: str) -> str:
    """Return the one form of every spelling of `address`: what makes two addresses one account.

    Case does not count, neither does the Unicode form (NFC), nor whether the domain is written in
    Unicode or as A-labels (RFC 5890 section 2.3.2.1): the domain is encoded to A-labels and the key
    holds what they stand for, which is what accounts have been stored under from the first release.
    Takes anything, also what is no address; of that the key is only a stable name.
    """
    local, at, domain = unicodedata.normalize("NFC", address.strip()).rpartition("@")
    ascii_form = ascii_domain(domain)
    if "xn--" in ascii_form:
        domain = _decode(ascii_form)
    return f"{local}{at}{domain}".lower()


def ascii_address(address: str) -> str:
    """Return `address` with its domain as A-labels: all ASCII where the local part is.

    Only a local part beyond ASCII needs a server that speaks SMTPUTF8 (RFC 6531).
    """
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{ascii_domain(domain)}"


def ascii_domain(domain: str) -> str:
    """Return `domain` as A-labels (RFC 5891, UTS 46), or as it is where it is no domain name."""
    # A label takes time that is quadratic in its length.
    if domain.isascii() or len(domain) > MAX_LENGTH:
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except UnicodeError:  # of idna's as well
        return domain


def _decode(ascii_form: str) -> str:
    if len(ascii_form) > MAX_LENGTH:
        return ascii_form
    try:
        return idna.decode(ascii_form)
    except UnicodeError:  # made up: no account can have been registered with it
        return ascii_form
