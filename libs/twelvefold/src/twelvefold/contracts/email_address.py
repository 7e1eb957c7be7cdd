"""Email addresses: their canonical form, and the form for SMTP servers.

email-validator checks the syntax, at the edge.
"""

from __future__ import annotations

import unicodedata

import idna

MAX_LENGTH = 254  # characters of an address (RFC 5321 section 4.5.3.1.3)


def email_key(address: str) -> str:
    """Return the canonical form of `address`, which identifies an account.

    Ignores case, the Unicode form (NFC), and whether the domain is written in Unicode or as
    A-labels (RFC 5890 section 2.3.2.1): the key holds the domain in Unicode, as stored accounts do.
    Accepts any text; for a text that is not an address the key is merely stable.
    """
    local, at, domain = unicodedata.normalize("NFC", address.strip()).rpartition("@")
    ascii_form = ascii_domain(domain)
    if "xn--" in ascii_form:
        domain = _decode(ascii_form)
    return f"{local}{at}{domain}".lower()


def ascii_address(address: str) -> str:
    """Return `address` with its domain as A-labels: ASCII if the local part is.

    Only a local part that is not ASCII needs a server with SMTPUTF8 (RFC 6531).
    """
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{ascii_domain(domain)}"


def ascii_domain(domain: str) -> str:
    """Return `domain` as A-labels (RFC 5891, UTS 46), or unchanged if it is not a domain name."""
    # The time to encode a label is quadratic in its length.
    if domain.isascii() or len(domain) > MAX_LENGTH:
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except UnicodeError:  # the base of idna's errors
        return domain


def _decode(ascii_form: str) -> str:
    if len(ascii_form) > MAX_LENGTH:
        return ascii_form
    try:
        return idna.decode(ascii_form)
    except UnicodeError:  # invalid, so no account has it
        return ascii_form
